#include <stdlib.h>
#include <unistd.h>

#include "table/table.h"
#include "unit/unit.h"
#include "util/file.h"

static struct table_env env;

static struct match_list *open_list(const char *spec, enum match_kind kind, bool parents)
{
    struct match_list *m;
    struct why why;

    if (match_open("test_list", str_of(spec), kind, parents, &env, &m, &why) != RC_OK)
        fail_msg("%s: %s", spec, why.text);
    return m;
}

static const struct {
    const char *spec;
    enum match_kind kind;
    bool parents;
    const char *text;
    enum rc rc;
} names[] = {
    {"a, b c", MATCH_STRING, false, "b", RC_OK},
    {"a, b c", MATCH_STRING, false, "B", RC_OK},
    {"a, b c", MATCH_STRING, false, "d", RC_NONE},
    {"", MATCH_STRING, false, "d", RC_NONE},
    {"a.example", MATCH_STRING, true, "x.a.example", RC_NONE},
    {"!a, b, a", MATCH_STRING, false, "a", RC_NONE},
    {"a, !a", MATCH_STRING, false, "a", RC_OK},
    {"!!a", MATCH_STRING, false, "a", RC_OK},
    {"! a", MATCH_STRING, false, "a", -1},
    {"!a, static:all", MATCH_STRING, false, "a", RC_NONE},
    {"!a, static:all", MATCH_STRING, false, "b", RC_OK},
    {"inline:{ a=x }", MATCH_STRING, false, "A", RC_OK},
    {"!inline:{ a=x }, static:all", MATCH_STRING, false, "A", RC_NONE},
    {"regexp:{ {/^a/ x} }", MATCH_STRING, false, "abc", RC_OK},
    {"b, fail:x", MATCH_STRING, false, "a", RC_TEMP},
    {"a, fail:x", MATCH_STRING, false, "a", RC_OK},
    {"a.example", MATCH_DOMAIN, true, "a.example", RC_OK},
    {"a.example", MATCH_DOMAIN, true, "x.y.a.example", RC_OK},
    {"a.example", MATCH_DOMAIN, true, "xa.example", RC_NONE},
    {"a.example", MATCH_DOMAIN, false, "x.a.example", RC_NONE},
    {".a.example", MATCH_DOMAIN, false, "x.y.a.example", RC_OK},
    {".a.example", MATCH_DOMAIN, false, "a.example", RC_NONE},
    {"!b.a.example, a.example", MATCH_DOMAIN, true, "c.b.a.example", RC_NONE},
    {"inline:{ a.example=x }", MATCH_DOMAIN, true, "x.y.a.example", RC_OK},
    {"inline:{ a.example=x }", MATCH_DOMAIN, false, "x.y.a.example", RC_NONE},
    {"inline:{ .a.example=x }", MATCH_DOMAIN, false, "x.y.a.example", RC_OK},
};

static void test_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        struct match_list *m;
        struct why why;
        enum rc rc =
            match_open("x", str_of(names[i].spec), names[i].kind, names[i].parents, &env, &m, &why);
        if ((int)names[i].rc == -1) {
            assert_int_equal(rc, RC_CONFIG);
            continue;
        }
        assert_int_equal(rc, RC_OK);
        rc = match_get(m, str_of(names[i].text), &why);
        if (rc != names[i].rc)
            fail_msg("\"%s\" matching \"%s\": %d", names[i].text, names[i].spec, rc);
        match_close(m);
    }
}

static const struct {
    const char *spec, *name, *address;
    enum rc rc;
} clients[] = {
    {"127.0.0.0/8", "localhost", "127.0.0.1", RC_OK},
    {"127.0.0.0/8", "localhost", "128.0.0.1", RC_NONE},
    {"[::1]/128", "localhost", "::1", RC_OK},
    {"[2001:db8::]/32", "unknown", "2001:db8::5", RC_OK},
    {"[2001:db8::5]", "unknown", "2001:db8::5", RC_OK},
    {"192.0.2.1", "unknown", "192.0.2.1", RC_OK},
    {"192.0.2.1", "unknown", "192.0.2.2", RC_NONE},
    {"!192.0.2.1, 192.0.2.0/24", "unknown", "192.0.2.1", RC_NONE},
    {"!192.0.2.1, 192.0.2.0/24", "unknown", "192.0.2.2", RC_OK},
    {"192.0.2.0/24, !192.0.2.1", "unknown", "192.0.2.1", RC_OK},
    {"host.example", "HOST.example", "192.0.2.1", RC_OK},
    {"example", "host.example", "192.0.2.1", RC_OK},
    {"host.example", "other.example", "192.0.2.1", RC_NONE},
    {"cidr:{ {192.0.2.0/24 x} }", "host", "192.0.2.1", RC_OK},
    {"inline:{ 192.0.2.1=x }", "host", "192.0.2.1", RC_OK},
    {"inline:{ host=x }", "host", "192.0.2.1", RC_OK},
    {"inline:{ example=x }", "a.host.example", "192.0.2.1", RC_OK},
    {"fail:x", "host", "192.0.2.1", RC_TEMP},
    {"", "host", "192.0.2.1", RC_NONE},
};

static void test_clients(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(clients); i++) {
        struct match_list *m = open_list(clients[i].spec, MATCH_CLIENT, true);
        struct addr address;
        struct why why;
        enum rc rc;
        assert_int_equal(addr_parse(str_of(clients[i].address), 0, &address, NULL), RC_OK);
        rc = match_client(m, str_of(clients[i].name), &address, &why);
        if (rc != clients[i].rc)
            fail_msg("%s [%s] matching \"%s\": %d", clients[i].name, clients[i].address,
                     clients[i].spec, rc);
        match_close(m);
    }
}

static void test_file(void **state)
{
    char path[] = "/tmp/test_match.XXXXXX", spec[64];
    int fd = mkstemp(path);
    struct match_list *m;
    struct why why;

    (void)state;
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(file_replace(path,
                                  STR("# comment\na.example, b.example\n !c.example\nd.example\n"),
                                  0644, NULL),
                     RC_OK);
    snprintf(spec, sizeof spec, "x.example %s", path);
    m = open_list(spec, MATCH_STRING, false);
    assert_int_equal(match_get(m, STR("x.example"), &why), RC_OK);
    assert_int_equal(match_get(m, STR("b.example"), &why), RC_OK);
    assert_int_equal(match_get(m, STR("c.example"), &why), RC_NONE);
    assert_int_equal(match_get(m, STR("d.example"), &why), RC_OK);
    match_close(m);
    snprintf(spec, sizeof spec, "!%s static:all", path);
    m = open_list(spec, MATCH_STRING, false);
    assert_int_equal(match_get(m, STR("a.example"), &why), RC_NONE);
    assert_int_equal(match_get(m, STR("c.example"), &why), RC_OK);
    match_close(m);
    assert_int_equal(file_replace(path, str_of(path), 0644, NULL), RC_OK); /* names itself */
    assert_int_equal(match_open("x", str_of(path), MATCH_STRING, false, &env, &m, &why), RC_CONFIG);
    unlink(path);
    assert_int_equal(match_open("x", str_of(path), MATCH_STRING, false, &env, &m, &why), RC_CONFIG);
}

static void test_bad(void **state)
{
    static const char *const specs[] = {"10.0.0.1/8", "10.0.0.0/33", "a.example/24", "!",
                                        "foo:bar",    "[::1",        "[host]"};

    (void)state;
    for (size_t i = 0; i < COUNT(specs); i++) {
        struct match_list *m;
        struct why why;
        if (match_open("x", str_of(specs[i]), MATCH_CLIENT, true, &env, &m, &why) != RC_CONFIG)
            fail_msg("%s: not refused", specs[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_clients),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_bad),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
