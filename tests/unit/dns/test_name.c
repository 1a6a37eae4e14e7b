#include "dns/transport.h"
#include "unit/unit.h"

static const struct {
    const char *name;
    bool valid;
} names[] = {
    {"example.com", true},
    {"example.com.", true},
    {"localhost", true},
    {"_25._tcp.mx.example", true},
    {"a-b.example", true},
    {"xn--bcher-kva.example", true},
    {"", false},
    {".", false},
    {"a..b", false},
    {".a", false},
    {"-a.example", false},
    {"a-.example", false},
    {"1.2.3.4", false},
    {"12", false},
    {"a b", false},
    {"b\xc3\xbc"
     "cher.example",
     false},
    {"a\\.b", false},
    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example", false},
};

static void test_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(names); i++)
        if (dns_name_is_valid(str_of(names[i].name)) != names[i].valid)
            fail_msg("%s", names[i].name);
    assert_int_equal(dns_type_number(STR("mx")), DNS_MX);
    assert_string_equal(dns_type_name(DNS_TLSA), "TLSA");
}

static void test_resolv_conf(void **state)
{
    struct name_servers s;
    char text[ADDR_TEXT_SIZE];

    (void)state;
    name_servers_parse(STR("# comment\ndomain old.example\nnameserver 192.0.2.1\n"
                           "nameserver [2001:db8::1]:5353\nnameserver [127.0.0.1]:99\n"
                           "nameserver 192.0.2.9\nsearch a.example b.example\n"
                           "options ndots:2 timeout:3 attempts:4\nnonsense\n"),
                       &s);
    assert_int_equal(s.n, 3);
    addr_format(&s.at[1], text);
    assert_string_equal(text, "2001:db8::1");
    assert_int_equal(addr_port(&s.at[0]), 53);
    assert_int_equal(addr_port(&s.at[1]), 5353);
    assert_int_equal(addr_port(&s.at[2]), 99);
    assert_int_equal(s.n_search, 2);
    assert_str(s.search[0], "a.example");
    assert_str(s.search[1], "b.example");
    assert_int_equal(s.timeout_ms, 3000);
    assert_int_equal(s.attempts, 4);
    name_servers_parse(STR(""), &s);
    assert_int_equal(s.n, 1);
    assert_true(addr_is_loopback(&s.at[0]));
}

static void test_record_text(void **state)
{
    AUTO_ARENA a = arena_new(1024);
    struct dns_record mx = {
        .type = DNS_MX, .ttl = 60, .name = STR("a.b"), .data = STR("mx.a.b"), .preference = 5};
    struct dns_record none = {.type = DNS_MX, .ttl = 60, .name = STR("a.b"), .data = STR("")};

    (void)state;
    assert_str(dns_record_text(&mx, a), "a.b. 60 IN MX 5 mx.a.b.");
    assert_str(dns_record_text(&none, a), "a.b. 60 IN MX 0 .");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_resolv_conf),
        cmocka_unit_test(test_record_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
