#include "tls/policy.h"
#include "unit/unit.h"

static struct table_env env;
static struct log quiet;

/* Fields of an entry as text: "secure match=a|b protocols=.." */
static const struct {
    const char *text, *shown;
} entries[] = {
    {"none", "none"},
    {"may", "may"},
    {"MAY protocols=!SSLv2:!SSLv3", "may p=!SSLv2:!SSLv3"},
    {"encrypt ciphers=high exclude=3DES:MD5", "encrypt c=high x=3DES:MD5"},
    {"encrypt, protocols=>=TLSv1.2:<=TLSv1.3", "encrypt p=>=TLSv1.2:<=TLSv1.3"},
    {"encrypt exclude=", "encrypt x="},
    {"encrypt ciphers=huge", NULL},
    {"encrypt match=nexthop", NULL},
    {"dane", "dane"},
    {"dane-only", "dane-only"},
    {"dane match=nexthop", NULL},
    {"half-dane", NULL},
    {"halfdane", NULL},
    {"secure match=.example.com:example.com", "secure m=.example.com,example.com"},
    {"verify match=hostname match=nexthop servername=mx.example",
     "verify m=hostname,nexthop s=mx.example"},
    {"verify { match = a.example } {servername=}", "verify m=a.example s="},
    {"secure tafile=/a.pem tafile=/b.pem", "secure t=/a.pem,/b.pem"},
    {"encrypt tafile=/a.pem", NULL},
    {"fingerprint match=AA:BB|CC:DD match=EE", "fingerprint m=AA:BB,CC:DD,EE"},
    {"may connection_reuse=yes enable_rpk=no", "may r=1 k=-1"},
    {"may connection_reuse=maybe", NULL},
    {"secure match=", NULL},
    {"secure match", NULL},
    {"secure =x", NULL},
    {"secure color=red", NULL},
    {"none protocols=x", NULL},
    {"INVALID", NULL},
    {"", NULL},
    {"secure policy_type=sts policy_domain=d policy_ttl=1 mx_host_pattern=*.d {policy_string = a b} "
     "policy_failure=none",
     "secure sts=*.d"},
};

static void show_list(char *to, const char *name, const struct str_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        sprintf(to + strlen(to), "%s" STR_FMT, i ? "," : name, STR_ARG(l->v[i]));
}

static void show(const struct tls_policy_entry *e, char *to)
{
    sprintf(to, "%s", tls_level_name(e->level));
    show_list(to, " m=", &e->match);
    show_list(to, " t=", &e->trust_anchors);
    if (e->protocols.n)
        sprintf(to + strlen(to), " p=" STR_FMT, STR_ARG(e->protocols));
    if (e->ciphers.n)
        sprintf(to + strlen(to), " c=" STR_FMT, STR_ARG(e->ciphers));
    if (e->has_exclude)
        sprintf(to + strlen(to), " x=" STR_FMT, STR_ARG(e->exclude));
    if (e->has_servername)
        sprintf(to + strlen(to), " s=" STR_FMT, STR_ARG(e->servername));
    if (e->connection_reuse)
        sprintf(to + strlen(to), " r=%d", e->connection_reuse);
    if (e->enable_rpk)
        sprintf(to + strlen(to), " k=%d", e->enable_rpk);
    if (e->sts)
        show_list(to, " sts=", &e->mx_patterns);
}

static void test_entries(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(entries); i++) {
        AUTO_ARENA a = arena_new(1024);
        struct tls_policy_entry e;
        struct why why = {0};
        char text[512];
        enum rc rc = tls_policy_parse(str_of(entries[i].text), a, &e, &why);
        if ((rc == RC_OK) != (entries[i].shown != NULL))
            fail_msg("%s: %s", entries[i].text, why.text);
        if (rc != RC_OK)
            continue;
        show(&e, text);
        assert_string_equal(text, entries[i].shown);
    }
}

static struct tls_policy_settings settings(const char *level)
{
    struct tls_policy_settings s = {
        .prefix = "smtp",
        .log = &quiet,
        .protocols = STR(">=TLSv1"),
        .mandatory_protocols = STR(">=TLSv1.2"),
        .ciphers = STR("medium"),
        .mandatory_ciphers = STR("high"),
        .exclude = STR("RC4"),
        .mandatory_exclude = STR("aNULL"),
        .verify_match = STR("hostname"),
        .secure_match = STR("nexthop, dot-nexthop"),
    };

    if (!tls_level_parse(str_of(level), &s.level))
        fail_msg("%s", level);
    return s;
}

static struct maps *table(const char *spec)
{
    struct maps *m;
    struct why why;

    if (maps_open("smtp_tls_policy_maps", str_of(spec), 0, &env, &m, &why) != RC_OK)
        fail_msg("%s: %s", spec, why.text);
    return m;
}

static struct tls_peer peer_of(const char *nexthop, const char *domain)
{
    return (struct tls_peer){str_of(nexthop), str_of(domain), STR("mx1.host.example")};
}

#define POLICIES                                                                                   \
    "inline:{ {a.example = encrypt}, {.a.example = verify}, {[a.example]:587 = secure}, "          \
    "{[a.example] = none}, {bad.example = secure color=red}, {.example = may}, "                   \
    "{print.example = fingerprint match=AA:bb:cc:dd:ee:ff:00:11}, "                                \
    "{noprint.example = fingerprint}, {badprint.example = fingerprint match=xyz} }"

static const struct {
    const char *nexthop, *domain, *level; /* NULL: RC_CONFIG */
} lookups[] = {
    {"a.example", "a.example", "encrypt"},
    {"A.Example", "a.example", "encrypt"},
    {"sub.a.example", "sub.a.example", "verify"},
    {"deep.sub.a.example", "deep.sub.a.example", "verify"},
    {"[a.example]", "a.example", "none"},
    {"[a.example]:587", "a.example", "secure"},
    {"[a.example]:25", "a.example", "dane"}, /* parents only for plain domains */
    {"a.example:25", "a.example", "dane"},
    {"[sub.a.example]", "sub.a.example", "dane"},
    {"b.example", "b.example", "may"},
    {"other.test", "other.test", "dane"},
    {"bad.example", "bad.example", NULL},
    {"print.example", "print.example", "fingerprint"},
    {"noprint.example", "noprint.example", NULL},
    {"badprint.example", "badprint.example", NULL},
};

static void test_lookups(void **state)
{
    struct tls_policy_settings set = settings("dane");

    (void)state;
    set.policy_maps = table(POLICIES);
    for (size_t i = 0; i < COUNT(lookups); i++) {
        AUTO_ARENA a = arena_new(1024);
        struct tls_peer peer = peer_of(lookups[i].nexthop, lookups[i].domain);
        struct tls_policy p;
        struct why why = {0};
        enum rc rc = tls_policy_find(&set, &peer, a, &p, &why);
        assert_int_equal(rc, lookups[i].level ? RC_OK : RC_CONFIG);
        if (rc == RC_OK && strcmp(tls_level_name(p.level), lookups[i].level) != 0)
            fail_msg("%s: %s", lookups[i].nexthop, tls_level_name(p.level));
    }
    maps_close(set.policy_maps);
}

/* Old table: by next hop and by host, with the default. */
static const struct {
    const char *by_nexthop, *by_host, *dflt, *level;
} sites[] = {
    {NULL, NULL, "may", "may"},
    {"NONE", NULL, "may", "none"},
    {"NONE", NULL, "verify", "none"},
    {"MAY", NULL, "none", "may"},
    {"MAY", NULL, "encrypt", "encrypt"},
    {"MAY", "NONE", "may", "none"},
    {"NONE", "MAY", "may", "none"},
    {"MUST", "NONE", "may", "verify"},
    {"NONE", "MUST", "may", "verify"},
    {"MUST_NOPEERMATCH", "MUST", "may", "verify"},
    {"MUST", "MUST_NOPEERMATCH", "may", "verify"},
    {"MUST_NOPEERMATCH", "MAY", "none", "encrypt"},
    {"must", NULL, "none", "verify"},
    {"EVER", NULL, "may", NULL},
};

static void test_sites(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(sites); i++) {
        AUTO_ARENA a = arena_new(1024);
        struct tls_policy_settings set = settings(sites[i].dflt);
        struct tls_peer peer = peer_of("a.example", "a.example");
        struct tls_policy p;
        char spec[200];
        snprintf(spec, sizeof spec, "inline:{ {x = MAY}%s%s%s%s%s%s }",
                 sites[i].by_nexthop ? ", {a.example = " : "",
                 sites[i].by_nexthop ? sites[i].by_nexthop : "", sites[i].by_nexthop ? "}" : "",
                 sites[i].by_host ? ", {mx1.host.example = " : "",
                 sites[i].by_host ? sites[i].by_host : "", sites[i].by_host ? "}" : "");
        set.per_site = table(spec);
        assert_int_equal(tls_policy_find(&set, &peer, a, &p, NULL),
                         sites[i].level ? RC_OK : RC_CONFIG);
        if (sites[i].level && strcmp(tls_level_name(p.level), sites[i].level) != 0)
            fail_msg("row %zu: %s", i, tls_level_name(p.level));
        maps_close(set.per_site);
    }
}

/* What a policy demands: names, protocols, ciphers, server name. */
static const struct {
    const char *entry, *match, *protocols, *grade, *exclude, *sni;
} demands[] = {
    {"may", "", ">=TLSv1", "medium", "RC4", ""},
    {"encrypt", "", ">=TLSv1.2", "high", "RC4 aNULL", ""},
    {"encrypt protocols=>=TLSv1.1:!TLSv1.3 ciphers=low exclude=A:B", "", ">=TLSv1.1 !TLSv1.3",
     "low", "A B", ""},
    {"verify", "mx1.host.example", ">=TLSv1.2", "high", "RC4 aNULL", ""},
    {"secure", "a.example,.a.example", ">=TLSv1.2", "high", "RC4 aNULL", ""},
    {"secure match=nexthop:Hostname:.Foo.Example", "a.example,mx1.host.example,.foo.example",
     ">=TLSv1.2", "high", "RC4 aNULL", ""},
    {"secure servername=hostname match=dot-nexthop", ".a.example", ">=TLSv1.2", "high", "RC4 aNULL",
     "mx1.host.example"},
    {"verify servername=nexthop match=x", "x", ">=TLSv1.2", "high", "RC4 aNULL", "a.example"},
    {"fingerprint match=AA:bb:cc:dd:ee:ff:00:11|0011223344556677",
     "aabbccddeeff0011,0011223344556677", ">=TLSv1.2", "high", "RC4 aNULL", ""},
    {"verify servername=-bad-", NULL, NULL, NULL, NULL, NULL},
    {"verify servername=a@b", NULL, NULL, NULL, NULL, NULL},
};

static void test_demands(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(demands); i++) {
        AUTO_ARENA a = arena_new(1024);
        struct tls_policy_settings set = settings("none");
        struct tls_peer peer = peer_of("a.example", "a.example");
        struct tls_policy p;
        char spec[300], match[200] = "";
        snprintf(spec, sizeof spec, "inline:{ { a.example = %s } }", demands[i].entry);
        set.policy_maps = table(spec);
        assert_int_equal(tls_policy_find(&set, &peer, a, &p, NULL),
                         demands[i].match ? RC_OK : RC_CONFIG);
        if (demands[i].match) {
            show_list(match, "", &p.match);
            assert_string_equal(match, demands[i].match);
            assert_str(p.protocols, demands[i].protocols);
            assert_str(p.grade, demands[i].grade);
            assert_str(p.exclude, demands[i].exclude);
            assert_str(p.servername, demands[i].sni);
        }
        maps_close(set.policy_maps);
    }
}

static const struct {
    const char *pattern, *host;
    bool matches;
} patterns[] = {
    {"mx.d.example", "mx.d.example", true},  {"mx.d.example", "MX.D.example", true},
    {"*.d.example", "mx.d.example", true},   {"*.d.example", "a.mx.d.example", false},
    {"*.d.example", "d.example", false},     {"*.d.example", ".d.example", false},
    {"mx.d.example", "mx.e.example", false},
};

static void test_sts(void **state)
{
    AUTO_ARENA a = arena_new(1024);
    struct tls_policy_settings set = settings("may");
    struct tls_peer peer = peer_of("a.example", "a.example");
    struct tls_policy p;

    (void)state;
    for (size_t i = 0; i < COUNT(patterns); i++)
        assert_int_equal(
            tls_mx_pattern_matches(str_of(patterns[i].pattern), str_of(patterns[i].host)),
            patterns[i].matches);
    set.policy_maps = table("inline:{ {a.example = secure match=x policy_type=sts "
                            "mx_host_pattern=*.host.example} {b.example = secure match=x "
                            "policy_type=sts mx_host_pattern=mx.b.example} }");
    set.enforce_sts = true;
    assert_int_equal(tls_policy_find(&set, &peer, a, &p, NULL), RC_OK);
    assert_str(p.match.v[0], "mx1.host.example");
    assert_str(p.servername, "mx1.host.example");
    peer.nexthop = peer.domain = STR("b.example");
    assert_int_equal(tls_policy_find(&set, &peer, a, &p, NULL), RC_PERM);
    set.enforce_sts = false;
    assert_int_equal(tls_policy_find(&set, &peer, a, &p, NULL), RC_OK);
    assert_str(p.match.v[0], "x");
    maps_close(set.policy_maps);
}

static void test_key(void **state)
{
    AUTO_ARENA a = arena_new(1024);
    struct tls_policy_settings set = settings("secure");
    struct tls_peer peer = peer_of("a.example", "a.example");
    struct tls_policy p, q;

    (void)state;
    assert_int_equal(tls_policy_find(&set, &peer, a, &p, NULL), RC_OK);
    assert_int_equal(tls_policy_find(&set, &peer, a, &q, NULL), RC_OK);
    assert_true(str_eq(tls_policy_key(&p, a), tls_policy_key(&q, a)));
    peer.nexthop = peer.domain = STR("b.example");
    assert_int_equal(tls_policy_find(&set, &peer, a, &q, NULL), RC_OK);
    assert_false(str_eq(tls_policy_key(&p, a), tls_policy_key(&q, a)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entries), cmocka_unit_test(test_lookups),
        cmocka_unit_test(test_sites),   cmocka_unit_test(test_demands),
        cmocka_unit_test(test_sts),     cmocka_unit_test(test_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
