#include "unit/unit.h"
#include "util/networks.h"

static void addresses(void **state)
{
    static const struct {
        const char *in, *out; /* NULL: refused */
    } vectors[] = {
        {"192.0.2.1", "192.0.2.1"},
        {"[192.0.2.1]", "192.0.2.1"},
        {"2001:DB8::1", "2001:db8::1"},
        {"[IPv6:2001:db8::1]", "2001:db8::1"},
        {"::ffff:192.0.2.9", "192.0.2.9"},
        {"192.0.2", NULL},
        {"", NULL},
        {"[]", NULL},
        {"host", NULL},
        {"1.2.3.4.5", NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(vectors); i++) {
        struct addr a;
        char text[ADDR_TEXT_SIZE];
        enum rc rc = addr_parse(str_of(vectors[i].in), 25, &a, NULL);
        assert_int_equal(rc == RC_OK, vectors[i].out != NULL);
        if (rc != RC_OK)
            continue;
        addr_format(&a, text);
        assert_string_equal(text, vectors[i].out);
        assert_int_equal(addr_port(&a), 25);
    }
}

/* What C would take for the end is none. */
static void no_zero_bytes(void **state)
{
    struct addr a;

    (void)state;
    assert_int_equal(addr_parse(STR("1.2.3.4\0.5"), 25, &a, NULL), RC_PERM);
}

static void networks(void **state)
{
    static const struct {
        const char *network, *address;
        int want; /* 1 in, 0 out, -1 refused */
    } vectors[] = {
        {"127.0.0.0/8", "127.1.2.3", 1},
        {"127.0.0.0/8", "128.0.0.1", 0},
        {"192.0.2.128/25", "192.0.2.127", 0},
        {"192.0.2.128/25", "192.0.2.200", 1},
        {"0.0.0.0/0", "203.0.113.5", 1},
        {"[::1]/128", "::1", 1},
        {"2001:db8::/33", "2001:db8:8000::", 0},
        {"2001:db8::/33", "2001:db8:7fff::", 1},
        {"0.0.0.0/0", "::1", 0},
        {"10.0.0.1/8", "10.0.0.1", -1},
        {"[::ffff:127.0.0.0]/104", "127.9.9.9", 1},
        {"[::ffff:127.0.0.0]/104", "128.0.0.1", 0},
        {"[::ffff:127.0.0.0]/95", "127.0.0.1", -1},
        {"10.0.0.0/33", "10.0.0.1", -1},
        {"10.0.0.0/", "10.0.0.0", -1},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(vectors); i++) {
        struct network n;
        struct addr a;
        struct why why;
        enum rc rc = network_parse(str_of(vectors[i].network), &n, &why);
        assert_int_equal(rc == RC_OK, vectors[i].want >= 0);
        if (rc != RC_OK)
            continue;
        assert_int_equal(addr_parse(str_of(vectors[i].address), 0, &a, NULL), RC_OK);
        assert_int_equal(network_has(&n, &a), vectors[i].want);
    }
}

static void hosts_and_ports(void **state)
{
    static const struct {
        const char *in, *host, *port;
    } vectors[] = {
        {"host:25", "host", "25"}, {"[::1]:25", "::1", "25"}, {"host", "host", ""},
        {":25", "", "25"},         {"::1", "::1", ""},        {"[host]", "host", ""},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(vectors); i++) {
        struct str host, port;
        assert_int_equal(host_port_split(str_of(vectors[i].in), &host, &port, NULL), RC_OK);
        assert_str(host, vectors[i].host);
        assert_str(port, vectors[i].port);
    }
}

static void network_sets(void **state)
{
    static const char *const members[] = {"10.0.0.0/8", "10.1.2.0/23", "192.0.2.7", "2001:db8::/33",
                                          "203.0.113.128/25"};
    static const struct {
        const char *address;
        bool is_in;
    } vectors[] = {
        {"10.200.1.1", true},          {"11.0.0.1", false},       {"192.0.2.7", true},
        {"192.0.2.6", false},          {"2001:db8::1", true},     {"2001:db8:8000::", false},
        {"2001:db8:7fff::", true},     {"203.0.113.127", false},  {"203.0.113.128", true},
        {"::ffff:203.0.113.9", false}, {"::ffff:10.0.0.1", true},
    };
    struct networks set;
    struct network n;
    struct addr a = {0};

    (void)state;
    networks_init(&set);
    for (size_t i = 0; i < COUNT(members); i++) {
        assert_int_equal(network_parse(str_of(members[i]), &n, NULL), RC_OK);
        networks_put(&set, &n, &set);
    }
    assert_false(networks_have(&set, &a));
    for (size_t i = 0; i < COUNT(vectors); i++) {
        assert_int_equal(addr_parse(str_of(vectors[i].address), 0, &a, NULL), RC_OK);
        assert_int_equal(networks_have(&set, &a), vectors[i].is_in);
    }
    assert_int_equal(addr_parse(STR("10.1.3.9"), 0, &a, NULL), RC_OK);
    assert_non_null(networks_get(&set, &a, 8));
    assert_non_null(networks_get(&set, &a, 23));
    assert_null(networks_get(&set, &a, 24));
    assert_null(networks_get(&set, &a, 33));
    networks_done(&set);
}

static void networks_that_cover_all(void **state)
{
    static const struct {
        const char *networks;
        bool all;
    } vectors[] = {
        {"0.0.0.0/0", true},
        {"0.0.0.0/1 128.0.0.0/1", true},
        {"128.0.0.0/1 10.0.0.0/8", false},
        {"128.0.0.0/2 0.0.0.0/1 192.0.0.0/2", true},
        {"0.0.0.0/2 10.0.0.0/8 64.0.0.0/2 10.1.0.0/16 192.0.0.0/2", false},
        {"0.0.0.0/1 0.0.0.0/1 8000::/1", false},
        {"::/1 8000::/1", true},
        {"128.0.0.0/1 0.0.0.0/2 64.0.0.0/3 96.0.0.0/4 112.0.0.0/5 120.0.0.0/5", true},
        {"1.2.3.4 1.2.3.4", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        struct str rest = str_of(vectors[i].networks), word;
        struct networks set;
        bool all = false;
        networks_init(&set);
        while (str_token(&rest, " ", &word)) {
            struct network n;
            assert_int_equal(network_parse(word, &n, NULL), RC_OK);
            all = networks_cover_all(&set, n);
        }
        if (all != vectors[i].all)
            fail_msg("%s", vectors[i].networks);
        networks_done(&set);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses),
        cmocka_unit_test(no_zero_bytes),
        cmocka_unit_test(networks),
        cmocka_unit_test(network_sets),
        cmocka_unit_test(networks_that_cover_all),
        cmocka_unit_test(hosts_and_ports),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
