#include "smtp/hosts.h"
#include "unit/unit.h"

static const struct {
    const char *text;
    bool lmtp;
    enum rc rc;
    const char *host, *port, *path;
    bool bracketed, default_port;
} hops[] = {
    {"example.com", false, RC_OK, "example.com", "smtp", "", false, true},
    {"example.com:587", false, RC_OK, "example.com", "587", "", false, false},
    {"[mail.example.com]", false, RC_OK, "mail.example.com", "smtp", "", true, true},
    {"[mail.example.com]:submission", false, RC_OK, "mail.example.com", "submission", "", true,
     false},
    {"[192.0.2.1]", false, RC_OK, "192.0.2.1", "smtp", "", true, true},
    {"[2001:db8::1]:26", false, RC_OK, "2001:db8::1", "26", "", true, false},
    {"[IPv6:2001:db8::1]", false, RC_OK, "2001:db8::1", "smtp", "", true, true},
    {"smtps://mail.example.com", false, RC_OK, "mail.example.com", "465", "", true, true},
    {"smtp+tls://label@[2001:db8::1]:587", false, RC_OK, "2001:db8::1", "587", "", true, false},
    {"smtp+notls://a@b@mail.example.com", false, RC_OK, "mail.example.com", "25", "", true, true},
    {"smtp://", false, RC_PERM, "", "", "", false, false},
    {"lmtp://mail.example.com:24", false, RC_PERM, "", "", "", false, false},
    {"inet:localhost:24", true, RC_OK, "localhost", "24", "", false, false},
    {"unix:private/mda", true, RC_OK, "", "smtp", "private/mda", false, false},
    {"unix:/run/dovecot/lmtp", true, RC_OK, "", "smtp", "/run/dovecot/lmtp", false, false},
    {"unix:", true, RC_PERM, "", "", "", false, false},
    {"[mail.example.com", false, RC_PERM, "", "", "", false, false},
    {"[mail.example.com]x", false, RC_PERM, "", "", "", false, false},
    {"[]", false, RC_PERM, "", "", "", false, false},
    {":25", false, RC_PERM, "", "", "", false, false},
    {"", false, RC_PERM, "", "", "", false, false},
};

static void test_nexthop(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(hops); i++) {
        struct nexthop hop = {0};
        struct why why;
        if (nexthop_parse(str_of(hops[i].text), hops[i].lmtp, STR("smtp"), &hop, &why) !=
            hops[i].rc)
            fail_msg("%s", hops[i].text);
        if (hops[i].rc != RC_OK)
            continue;
        assert_str(hop.host, hops[i].host);
        assert_str(hop.port, hops[i].port);
        assert_str(hop.path, hops[i].path);
        assert_int_equal(hop.bracketed, hops[i].bracketed);
        if (hop.path.n == 0)
            assert_int_equal(hop.default_port, hops[i].default_port);
    }
}

/* "PREFERENCE ADDRESS" words to hosts and back to a text of last digits. */
static size_t make(struct host *v, const char *text)
{
    struct str rest = str_of(text), word;
    size_t n = 0;

    while (str_token(&rest, " ", &word)) {
        struct str address = word, preference = str_cut(&address, '/');
        long number = 0;
        assert_true(str_to_long(preference, 0, 65535, &number));
        v[n] = (struct host){.preference = (int)number, .order = n};
        assert_int_equal(addr_parse(address, 25, &v[n].address, NULL), RC_OK);
        n++;
    }
    return n;
}

static const char *show(const struct host *v, size_t n, char *text)
{
    text[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        char address[ADDR_TEXT_SIZE];
        addr_format(&v[i].address, address);
        sprintf(text + strlen(text), "%s%s", i ? " " : "", address);
    }
    return text;
}

static const struct {
    const char *hosts, *preference;
    size_t limit;
    bool balance;
    const char *want;
} orders[] = {
    {"20/192.0.2.1 10/192.0.2.2 20/192.0.2.3", "any", 0, true, "192.0.2.2 192.0.2.1 192.0.2.3"},
    {"10/192.0.2.1 10/2001:db8::1 20/2001:db8::2", "ipv6", 0, true,
     "2001:db8::1 192.0.2.1 2001:db8::2"},
    {"10/2001:db8::1 10/192.0.2.1 5/2001:db8::2", "ipv4", 0, true,
     "2001:db8::2 192.0.2.1 2001:db8::1"},
    {"1/192.0.2.1 2/192.0.2.2 3/192.0.2.3", "any", 2, true, "192.0.2.1 192.0.2.2"},
    /* both families get a chance */
    {"1/2001:db8::1 1/2001:db8::2 1/2001:db8::3 2/192.0.2.1", "any", 2, true,
     "2001:db8::1 192.0.2.1"},
    {"1/2001:db8::1 1/2001:db8::2 1/2001:db8::3 2/192.0.2.1", "any", 2, false,
     "2001:db8::1 2001:db8::2"},
    {"1/2001:db8::1 1/192.0.2.1 1/192.0.2.2 1/192.0.2.3 1/192.0.2.4", "any", 4, true,
     "2001:db8::1 192.0.2.1 192.0.2.2 192.0.2.3"},
};

static void test_order(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(orders); i++) {
        struct host v[8];
        char text[500];
        size_t n = make(v, orders[i].hosts);
        hosts_sort(v, n, str_of(orders[i].preference));
        n = hosts_limit(v, n, orders[i].limit, orders[i].balance);
        assert_string_equal(show(v, n, text), orders[i].want);
    }
}

static const struct {
    const char *hosts, *want;
    bool found;
} selves[] = {
    {"10/192.0.2.1 20/192.0.2.2", "192.0.2.1 192.0.2.2", false},
    {"10/192.0.2.1 20/192.0.2.99 20/192.0.2.3 30/192.0.2.4", "192.0.2.1", true},
    {"10/192.0.2.99 20/192.0.2.1", "", true},
    {"20/192.0.2.99 10/192.0.2.1 10/192.0.2.98", "",
     true}, /* two of them are ours: the best counts */
};

static void test_self(void **state)
{
    struct addr own[2];
    struct smtp s = {.own = {own, 2}};

    (void)state;
    assert_int_equal(addr_parse(STR("192.0.2.99"), 0, &own[0], NULL), RC_OK);
    assert_int_equal(addr_parse(STR("192.0.2.98"), 0, &own[1], NULL), RC_OK);
    for (size_t i = 0; i < COUNT(selves); i++) {
        struct host v[8];
        char text[500];
        size_t n = make(v, selves[i].hosts);
        assert_int_equal(hosts_cut_self(&s, v, &n), selves[i].found);
        assert_string_equal(show(v, n, text), selves[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nexthop),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_self),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
