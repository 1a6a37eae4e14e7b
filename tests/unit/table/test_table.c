#include <stdlib.h>
#include <unistd.h>

#include "table/table.h"
#include "unit/unit.h"
#include "util/file.h"

static struct table_env env = {NULL, NULL};

/* Write a file below the test's directory; its path lives in the arena. */
static char *put_file(struct arena *a, const char *name, const char *text)
{
    char *path = arena_text(a, arena_printf(a, "%s/%s", getenv("TEST_TMP"), name));

    assert_int_equal(file_replace(path, str_of(text), 0644, NULL), RC_OK);
    return path;
}

struct vector {
    const char *table; /* "%s" stands for the file */
    const char *file;  /* its contents, or NULL */
    const char *key;
    enum rc rc;
    const char *value;
};

static const struct vector vectors[] = {
    {"inline:{a=b}", NULL, "a", RC_OK, "b"},
    {"inline:{a=b}", NULL, "A", RC_OK, "b"},
    {"inline:{a=b}", NULL, "b", RC_NONE, NULL},
    {"inline:{ A=b, { key with blank = v w } }", NULL, "key with BLANK", RC_OK, "v w"},
    {"inline:{ \xc3\x89=e }", NULL, "\xc3\xa9", RC_OK, "e"},
    {"static:x", NULL, "whatever", RC_OK, "x"},
    {"static:{ a b }", NULL, "whatever", RC_OK, "a b"},
    {"fail:x", NULL, "whatever", RC_TEMP, NULL},
    {"environ:x", NULL, "TEST_TABLE_VARIABLE", RC_OK, "value"},
    {"environ:x", NULL, "test_table_variable", RC_NONE, NULL},
    {"unix:passwd.byname", NULL, "root", RC_OK, NULL},
    {"unix:passwd.byname", NULL, "no-such-user", RC_NONE, NULL},
    {"unix:group.byname", NULL, "root", RC_OK, NULL},
    {"pipemap:{inline:{a=b},inline:{b=c}}", NULL, "a", RC_OK, "c"},
    {"pipemap:{inline:{a=b},inline:{c=d}}", NULL, "a", RC_NONE, NULL},
    {"pipemap:{inline:{a=b},fail:x}", NULL, "a", RC_TEMP, NULL},
    {"unionmap:{inline:{a=b},inline:{a=c}}", NULL, "a", RC_OK, "b,c"},
    {"unionmap:{inline:{a=b},inline:{b=c}}", NULL, "a", RC_OK, "b"},
    {"unionmap:{inline:{a=b},inline:{b=c}}", NULL, "c", RC_NONE, NULL},
    {"unionmap:{inline:{a=b},fail:x}", NULL, "a", RC_TEMP, NULL},
    {"randmap:{x}", NULL, "a", RC_OK, "x"},
    {"debug:inline:{z=1}", NULL, "z", RC_OK, "1"},
    {"texthash:%s", "# c\nAlpha  one\nbeta two\n  more\n", "alpha", RC_OK, "one"},
    {"texthash:%s", "beta two words  \n# c\n  more\n", "beta", RC_OK, "two words    more"},
    {"texthash:%s", "\"q Q\" x\n", "\"q q\"", RC_OK, "x"},
    {"texthash:%s", "\"q Q\" x\n", "q q", RC_NONE, NULL},
    {"texthash:%s", "a 1\na 2\n", "a", RC_OK, "1"},
    {"texthash:%s.missing", "", "a", RC_TEMP, NULL},
    {"regexp:%s", "/^a(b*)c$/ <$1>\n", "abbc", RC_OK, "<bb>"},
    {"regexp:%s", "/^a(b*)c$/ <${1}>\n", "ABC", RC_OK, "<B>"},
    {"regexp:%s", "/^abc$/i x\n", "ABC", RC_NONE, NULL},
    {"regexp:%s", "!/x/ none $$\n", "abc", RC_OK, "none $"},
    {"regexp:%s", "/(a)(b)?/ $1-$2.\n", "a", RC_OK, "a-."},
    {"regexp:%s", "if /a/\n/b/ ab\nendif\n/b/ b\n", "ab", RC_OK, "ab"},
    {"regexp:%s", "if /a/\n/b/ ab\nendif\n/b/ b\n", "b", RC_OK, "b"},
    {"regexp:%s", "if !/a/\nif /b/\n/c/ 1\nendif\n/c/ 2\nendif\n/c/ 3\n", "c", RC_OK, "2"},
    {"regexp:%s", "if !/a/\nif /b/\n/c/ 1\nendif\n/c/ 2\nendif\n/c/ 3\n", "bc", RC_OK, "1"},
    {"regexp:%s", "if !/a/\nif /b/\n/c/ 1\nendif\n/c/ 2\nendif\n/c/ 3\n", "ac", RC_OK, "3"},
    {"regexp:%s", "/a(b)/ $2\n/a/ second\n", "ab", RC_OK, "second"},
    {"regexp:%s", "/(a/ bad\n/a/ good\n", "a", RC_OK, "good"},
    {"regexp:{ {/a/ b}, {/c d/ e f} }", NULL, "c d", RC_OK, "e f"},
    {"regexp:%s", "/a\\/b/ slash\n", "a/b", RC_OK, "slash"},
    {"regexp:%s", "%per% cent\n", "per", RC_OK, "cent"},
    {"pcre:%s", "/^a(b*)c$/ <$1>\n", "abbc", RC_OK, "<bb>"},
    {"pcre:%s", "/a(?=b)/ ahead\n", "ab", RC_OK, "ahead"},
    {"pcre:%s", "/^abc$/i x\n", "ABC", RC_NONE, NULL},
    {"pcre:%s", "/(a)(b)?/ $1-$2.\n", "a", RC_OK, "a-."},
    {"pcre:%s", "/a.b/ dot\n", "a\nb", RC_OK, "dot"},
    {"pcre:%s", "/a.b/s dot\n", "a\nb", RC_NONE, NULL},
    {"pcre:%s", "/(a+)+$/ x\n", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", RC_TEMP, NULL},
    {"pcre:{ {/a b/x none}, {/a/ one} }", NULL, "a b", RC_OK, "one"},
    {"cidr:%s", "10.0.0.0/8 ten\n", "10.1.2.3", RC_OK, "ten"},
    {"cidr:%s", "10.1.0.0/16 a\n10.0.0.0/8 ten\n", "10.1.2.3", RC_OK, "a"},
    {"cidr:%s", "10.0.0.0/8 ten\n10.1.0.0/16 a\n", "10.1.2.3", RC_OK, "ten"},
    {"cidr:%s", "10.0.0.1/8 bad\n10.1.0.0/16 a\n", "10.1.2.3", RC_OK, "a"},
    {"cidr:%s", "[2001:db8::]/32 six\n", "2001:db8::1", RC_OK, "six"},
    {"cidr:%s", "[2001:db8::/32] six\n", "2001:db8::1", RC_OK, "six"},
    {"cidr:%s", "!192.168.0.0/16 out\n", "10.0.0.1", RC_OK, "out"},
    {"cidr:%s", "!192.168.0.0/16 out\n", "192.168.0.1", RC_NONE, NULL},
    {"cidr:%s", "!192.168.0.0/16 out\n", "2001:db8::1", RC_NONE, NULL},
    {"cidr:%s", "if !10.0.0.0/8\n0.0.0.0/0 x\nendif\n10.0.0.1 y\n", "10.0.0.1", RC_OK, "y"},
    {"cidr:%s", "if !10.0.0.0/8\n0.0.0.0/0 x\nendif\n10.0.0.1 y\n", "11.0.0.1", RC_OK, "x"},
    {"cidr:%s", "0.0.0.0/0 x\n", "name.example", RC_NONE, NULL},
    {"cidr:%s", "0.0.0.0/0 x\n", "[10.0.0.1]", RC_NONE, NULL},
    {"cidr:{ {10.0.0.0/8 a b} }", NULL, "10.0.0.1", RC_OK, "a b"},
};

static void test_vectors(void **state)
{
    AUTO_ARENA a = arena_new(4096);

    (void)state;
    setenv("TEST_TABLE_VARIABLE", "value", 1);
    for (size_t i = 0; i < COUNT(vectors); i++) {
        const struct vector *v = &vectors[i];
        struct str name = str_of(v->table), value = STR_NONE;
        struct table *t;
        struct why why = {0};
        enum rc rc;
        if (v->file) {
            ssize_t at = str_find(name, STR("%s"));
            char *path = put_file(a, "source", v->file);
            name = arena_printf(a, STR_FMT "%s" STR_FMT, (int)at, name.p, path,
                                STR_ARG(str_from(name, (size_t)at + 2)));
        }
        if (table_open(name, 0, &env, &t, &why) != RC_OK)
            fail_msg("%s: %s", v->table, why.text);
        rc = table_get(t, str_of(v->key), a, &value, &why);
        if (rc != v->rc)
            fail_msg("%s [%s] \"%s\": rc %d, want %d: %s", v->table, v->file, v->key, rc, v->rc,
                     why.text);
        if (v->value)
            assert_str(value, v->value);
        table_close(t);
    }
}

/* What can never work is an error when the table is opened. */
static void test_bad_names(void **state)
{
    static const char *const names[] = {
        "foo:bar",         "noname",      "inline:{}",        "inline:{k}",        "inline:{a = b}",
        "static:{a",       "pipemap:{}",  "pipemap:{foo}",    "randmap:{}",        "unionmap:x:y",
        "unix:foo.byname", "debug:foo:x", "regexp:{ /a/ b }", "cidr:{{1.2.3.4 x}",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        struct table *t;
        struct why why;
        if (table_open(str_of(names[i]), 0, &env, &t, &why) != RC_CONFIG)
            fail_msg("%s: not refused", names[i]);
    }
}

static const char *const writable[] = {"lmdb", "hash", "btree", "cdb"};

static char *make_table(struct arena *a, const char *type, unsigned flags)
{
    char *name = arena_text(a, arena_printf(a, "%s:%s/made-%s", type, getenv("TEST_TMP"), type));
    struct table *t;
    struct why why = {0};

    if (table_open(str_of(name), TABLE_CREATE | TABLE_STRICT | flags, &env, &t, &why) != RC_OK)
        fail_msg("%s: %s", name, why.text);
    assert_int_equal(table_put(t, STR("Alpha"), STR("one"), &why), RC_OK);
    assert_int_equal(table_put(t, STR("beta"), STR("two"), &why), RC_OK);
    assert_int_equal(table_put(t, STR("alpha"), STR("three"), &why),
                     flags & (TABLE_REPLACE | TABLE_IGNORE_DUP) ? RC_OK : RC_NONE);
    if (table_commit(t, &why) != RC_OK)
        fail_msg("%s: %s", name, why.text);
    table_close(t);
    return name;
}

static bool has_type(const char *type)
{
    for (const char *const *p = table_types(); *p; p++)
        if (strcmp(*p, type) == 0)
            return true;
    return false;
}

static void check(const char *name, const char *key, enum rc want, const char *text)
{
    AUTO_ARENA a = arena_new(512);
    struct table *t;
    struct str value;
    struct why why = {0};

    if (table_open(str_of(name), TABLE_STRICT, &env, &t, &why) != RC_OK)
        fail_msg("%s: %s", name, why.text);
    assert_int_equal(table_get(t, str_of(key), a, &value, &why), want);
    if (want == RC_OK)
        assert_str(value, text);
    table_close(t);
}

static void test_made(void **state)
{
    static const unsigned nul[] = {0, TABLE_NUL, TABLE_NO_NUL};
    AUTO_ARENA a = arena_new(4096);

    (void)state;
    for (size_t i = 0; i < COUNT(writable); i++) {
        if (!has_type(writable[i]))
            continue;
        for (size_t j = 0; j < COUNT(nul); j++) {
            char *name = make_table(a, writable[i], nul[j]);
            check(name, "ALPHA", RC_OK, "one");
            check(name, "beta", RC_OK, "two");
            check(name, "gamma", RC_NONE, NULL);
            check(name, "", RC_NONE, NULL);
        }
        check(make_table(a, writable[i], TABLE_REPLACE), "alpha", RC_OK, "three");
        check(make_table(a, writable[i], TABLE_IGNORE_DUP), "alpha", RC_OK, "one");
    }
}

/* A listing may delete what it just saw: caches are cleaned so. */
static void test_list_and_delete(void **state)
{
    AUTO_ARENA a = arena_new(4096);

    (void)state;
    for (size_t i = 0; i < COUNT(writable); i++) {
        struct table *t;
        struct str key, value;
        struct why why = {0};
        int n = 0;
        if (!has_type(writable[i]) || strcmp(writable[i], "cdb") == 0)
            continue;
        assert_int_equal(
            table_open(str_of(make_table(a, writable[i], 0)), TABLE_WRITE, &env, &t, &why), RC_OK);
        assert_int_equal(table_put(t, STR("alpha"), STR("x"), &why), RC_NONE);
        assert_int_equal(table_put(t, STR("gamma"), STR("x"), &why), RC_OK);
        for (bool first = true; table_next(t, first, a, &key, &value, &why) == RC_OK;
             first = false) {
            assert_int_equal(table_delete(t, key, &why), RC_OK);
            n++;
        }
        assert_int_equal(n, 3);
        assert_int_equal(table_delete(t, STR("alpha"), &why), RC_NONE);
        assert_int_equal(table_next(t, true, a, &key, &value, &why), RC_NONE);
        table_close(t);
    }
}

/* A table made and not committed leaves the old one as it was. */
static void test_abandoned(void **state)
{
    AUTO_ARENA a = arena_new(4096);

    (void)state;
    for (size_t i = 0; i < COUNT(writable); i++) {
        struct table *t;
        struct why why = {0};
        char *name;
        if (!has_type(writable[i]))
            continue;
        name = make_table(a, writable[i], 0);
        assert_int_equal(table_open(str_of(name), TABLE_CREATE, &env, &t, &why), RC_OK);
        assert_int_equal(table_put(t, STR("delta"), STR("x"), &why), RC_OK);
        table_close(t);
        check(name, "alpha", RC_OK, "one");
        check(name, "delta", RC_NONE, NULL);
    }
}

static void test_internal(void **state)
{
    AUTO_ARENA a = arena_new(512);
    struct table *t;
    struct str value;
    struct why why;

    (void)state;
    assert_int_equal(table_open(STR("internal:x"), TABLE_WRITE | TABLE_REPLACE, &env, &t, &why),
                     RC_OK);
    assert_int_equal(table_put(t, STR("K"), STR("1"), &why), RC_OK);
    assert_int_equal(table_put(t, STR("k"), STR("2"), &why), RC_OK);
    assert_int_equal(table_get(t, STR("k"), a, &value, &why), RC_OK);
    assert_str(value, "2");
    assert_int_equal(table_delete(t, STR("k"), &why), RC_OK);
    assert_int_equal(table_get(t, STR("k"), a, &value, &why), RC_NONE);
    table_close(t);
}

static void test_utf8(void **state)
{
    AUTO_ARENA a = arena_new(512);
    struct table *t;
    struct str value;
    struct why why;

    (void)state;
    assert_int_equal(table_open(STR("static:\xff"), 0, &env, &t, &why), RC_OK);
    assert_int_equal(table_get(t, STR("k"), a, &value, &why), RC_TEMP);
    assert_int_equal(table_get(t, STR("\xff"), a, &value, &why), RC_NONE);
    table_close(t);
    assert_int_equal(table_open(STR("static:\xff"), TABLE_BYTES, &env, &t, &why), RC_OK);
    assert_int_equal(table_get(t, STR("k\xff"), a, &value, &why), RC_OK);
    table_close(t);
}

/* A pattern that needs more stack than compiled patterns have. */
static void test_deep_pattern(void **state)
{
    static const char name[] = "pcre:{ {/^((.)+?[ab]?)*$/ x} }";
    AUTO_ARENA a = arena_new(64 * 1024);
    struct table *t;
    struct str value = STR_NONE;
    char *key = arena_alloc(a, 20001);
    struct why why = {0};

    (void)state;
    if (!has_type("pcre"))
        skip();
    memset(key, 'a', 20000);
    assert_int_equal(table_open(str_of(name), 0, &env, &t, &why), RC_OK);
    if (table_get(t, str_of(key), a, &value, &why) != RC_OK)
        fail_msg("%s", why.text);
    table_close(t);
}

static void test_flags(void **state)
{
    AUTO_ARENA a = arena_new(512);
    struct table *t;
    struct str value;
    struct why why;

    (void)state;
    assert_int_equal(
        table_open(STR("regexp:{ {/(a)/ $1}, {/a/ b} }"), TABLE_NO_SUBSTITUTE, &env, &t, &why),
        RC_OK);
    assert_int_equal(table_get(t, STR("a"), a, &value, &why), RC_OK);
    assert_str(value, "b");
    table_close(t);
    assert_int_equal(table_open(STR("proxy:inline:{a=b}"), TABLE_NO_PROXY, &env, &t, &why), RC_OK);
    assert_str(table_name(t), "inline:{a=b}");
    table_close(t);
    assert_int_equal(table_open(STR("texthash:/x"), TABLE_WRITE, &env, &t, &why), RC_CONFIG);
}

static void test_owner(void **state)
{
    AUTO_ARENA a = arena_new(512);
    char *path = put_file(a, "owned", "a b\n");
    const struct {
        const char *format;
        enum rc rc;
    } tables[] = {{"texthash:%s", RC_OK},
                  {"debug:texthash:%s", RC_OK},
                  {"pipemap:{static:x,texthash:%s}", RC_OK},
                  {"static:%s", RC_NONE}};
    bool root = geteuid() == 0;

    (void)state;
    if (root)
        assert_int_equal(chown(path, 7, 7), 0);
    for (size_t i = 0; i < COUNT(tables); i++) {
        struct str format = str_of(tables[i].format);
        ssize_t at = str_find(format, STR("%s"));
        uid_t owner = 0;
        struct table *t;
        struct why why;
        assert_int_equal(table_open(arena_printf(a, STR_FMT "%s" STR_FMT, (int)at, format.p, path,
                                                 STR_ARG(str_from(format, (size_t)at + 2))),
                                    0, &env, &t, &why),
                         RC_OK);
        assert_int_equal(table_owner(t, &owner), tables[i].rc);
        if (tables[i].rc == RC_OK)
            assert_int_equal(owner, root ? 7 : geteuid());
        table_close(t);
    }
}

static void test_fold(void **state)
{
    static const struct {
        const char *text, *folded;
    } folds[] = {
        {"ABC", "abc"},
        {"\xc3\x84", "\xc3\xa4"}, /* A with diaeresis */
        {"stra\xc3\x9f"
         "e",
         "strasse"},                              /* sharp s */
        {"\xe1\xba\x9e", "ss"},                   /* capital sharp s */
        {"\xce\xa3\xcf\x82", "\xcf\x83\xcf\x83"}, /* sigma, final sigma */
        {"\xf0\x90\x90\x80", "\xf0\x90\x90\xa8"}, /* Deseret */
        {"\xc4\xb0", "i\xcc\x87"},                /* I with dot */
        {"A\xff", "a\xff"},                       /* not UTF-8: ASCII only */
    };
    AUTO_ARENA a = arena_new(512);

    (void)state;
    for (size_t i = 0; i < COUNT(folds); i++)
        assert_str(fold_case(a, str_of(folds[i].text), true), folds[i].folded);
    assert_str(fold_case(a, STR("\xc3\x84X"), false), "\xc3\x84x");
}

int main(void)
{
    static char directory[] = "/tmp/test_table.XXXXXX";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),      cmocka_unit_test(test_bad_names),
        cmocka_unit_test(test_made),         cmocka_unit_test(test_list_and_delete),
        cmocka_unit_test(test_abandoned),    cmocka_unit_test(test_internal),
        cmocka_unit_test(test_utf8),         cmocka_unit_test(test_flags),
        cmocka_unit_test(test_fold),         cmocka_unit_test(test_owner),
        cmocka_unit_test(test_deep_pattern),
    };
    char *command = NULL;
    int failed;

    if (mkdtemp(directory) == NULL)
        return 1;
    setenv("TEST_TMP", directory, 1);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (asprintf(&command, "rm -rf %s", directory) > 0 && system(command) != 0)
        failed = 1;
    free(command);
    return failed;
}
