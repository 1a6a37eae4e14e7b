#include "config/expand.h"
#include "unit/unit.h"

static enum rc lookup(void *context, struct str name, struct str *value, struct why *why)
{
    (void)context;
    if (str_eq(name, STR("mail_name")))
        *value = STR("Postern");
    else if (str_eq(name, STR("level")))
        *value = STR("3.6");
    else if (str_eq(name, STR("empty")))
        *value = STR("");
    else if (str_eq(name, STR("broken")))
        return FAIL(why, RC_CONFIG, "broken");
    else
        return RC_NONE;
    return RC_OK;
}

static const struct {
    const char *text, *result; /* NULL: an error whose words hold: */
    const char *words;
} vectors[] = {
    {"", "", NULL},
    {"plain", "plain", NULL},
    {"$mail_name", "Postern", NULL},
    {"a${mail_name}b", "aPosternb", NULL},
    {"$(mail_name)/${ mail_name }", "Postern/Postern", NULL},
    {"$none|${none}|", "||", NULL},
    {"$$x $$$$", "$x $$", NULL},
    {"${mail_name?b}z", "bz", NULL},
    {"${mail_name?y:n}|", "y:n|", NULL}, /* no braces: all of it is the text */
    {"${none?y:n}|", "|", NULL},
    {"${none: q }|", " q |", NULL},
    {"${none: {a b} }|", "a b|", NULL},
    {"${mail_name:x}|", "|", NULL},
    {"${mail_name?{y}:{n}}", "y", NULL},
    {"${empty?{y} : {n n} }|", "n n|", NULL},
    {"${empty?{y} : n n }|", "n n |", NULL},
    {"${empty?{y}:n n}|", "n n|", NULL},
    {"${none?{$broken}:{ok}}", "ok", NULL}, /* only the branch that is taken */
    {"${mail_name?{${empty:{$mail_name}}}:{n}}", "Postern", NULL},
    {"${{a} == {b} ? {T} : {F}}", "F", NULL},
    {"${{a} == {a}}", "true", NULL},
    {"${{a} == {b}}|", "|", NULL},
    {"${{ a } == {a}?{T}:{F}}", "F", NULL},
    {"${{a}=={a}?T:F}", "T:F", NULL},
    {"${{a}=={b}:F}", "F", NULL},
    {"${{a}=={b}:{F} }", "F", NULL},
    {"${{} == {}?{e}:{n}}", "e", NULL},
    {"${{10}<{9}?{T}:{F}}", "F", NULL},
    {"${{10x}<{9}?{T}:{F}}", "T", NULL},
    {"${{10}>={9}?{T}:{F}}", "T", NULL},
    {"${{9}<={9}?{T}:{F}}", "T", NULL},
    {"${{9}>{9}?{T}:{F}}", "F", NULL},
    {"${{$mail_name}!=  {Postern}?{e}:$mail_name}", "Postern", NULL},
    {"${{3.10} <level {3.9}?{T}:{F}}", "F", NULL},
    {"${{$level} <level {3.11} ? {} : {may}}|", "|", NULL},
    {"${{$level} >=level {3.6.0} ? {T} : {F}}", "T", NULL},
    {"${domain_to_ascii{$mail_name}}", "postern", NULL},
    {"a$-b", NULL, "no name after $ in \"$-b\""},
    {"$", NULL, "no name after $"},
    {"${x", NULL, "no closing bracket for \"${x\""},
    {"${x*}", NULL, "wrong at \"*\""},
    {"${x.y}", NULL, "wrong at \".y\""},
    {"${}", NULL, "no name in"},
    {"${x?{a}b}", NULL, "\":\" expected at \"b\""},
    {"${x:{a}b}", NULL, "unexpected text at \"b\""},
    {"${x:{a}:{b}}", NULL, "unexpected text"},
    {"${x?{a}:{b}c}", NULL, "unexpected text at \"c\""},
    {"${{a}={b}?{x}}", NULL, "expected at \"={b}"},
    {"${{a}==b?{x}}", NULL, "\"{\" expected"},
    {"${{a} ==level {3}?{e}:{n}}", NULL, "malformed compatibility level \"a\""},
    {"${{3.1.2.3} ==level {3}?{e}:{n}}", NULL, "malformed compatibility level"},
    {"${nosuch{x}}", NULL, "unknown function nosuch"},
    {"$broken", NULL, "broken"},
};

static void test_vectors(void **state)
{
    struct expander e = {lookup, NULL};

    (void)state;
    for (size_t i = 0; i < COUNT(vectors); i++) {
        AUTO_BUF out;
        struct why why = {0};
        enum rc rc;

        buf_init(&out, EXPAND_MAX);
        rc = expand_text(&e, str_of(vectors[i].text), &out, &why);
        if (vectors[i].result == NULL) {
            if (rc == RC_OK || strstr(why.text, vectors[i].words) == NULL)
                fail_msg("%s: got \"%s\", want \"%s\"", vectors[i].text, why.text,
                         vectors[i].words);
        } else {
            if (rc != RC_OK)
                fail_msg("%s: %s", vectors[i].text, why.text);
            assert_str(buf_str(&out), vectors[i].result);
        }
    }
}

static void test_nesting_has_a_limit(void **state)
{
    struct expander e = {lookup, NULL};
    AUTO_BUF text;
    AUTO_BUF out;
    struct why why;

    (void)state;
    buf_init(&text, EXPAND_MAX);
    buf_init(&out, EXPAND_MAX);
    for (int i = 0; i < 200; i++)
        buf_add(&text, STR("${mail_name?{"));
    for (int i = 0; i < 200; i++)
        buf_add(&text, STR("}}"));
    assert_int_equal(expand_text(&e, buf_str(&text), &out, &why), RC_PERM);
}

static void collect(void *context, struct str name)
{
    struct buf *b = context;

    buf_add(b, name);
    buf_addc(b, ' ');
}

static void test_names(void **state)
{
    AUTO_BUF found;

    (void)state;
    buf_init(&found, 1000);
    expand_names(STR("$a ${b?{$c}:{${d}}} $$e $(f) ${{$g} == {$h} ? {$i}} ${fn{$j}} ${k"), collect,
                 &found);
    assert_string_equal(buf_text(&found), "a b c d f g h i j k ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_nesting_has_a_limit),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
