/* Rules about clients: all vectors of qmail-instructions and qmail-ipsvd, as text and compiled. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/client_settings.h"
#include "table/client_rules.h"
#include "table/ipsvd.h"
#include "table/tcprules.h"
#include "unit/unit.h"
#include "util/buf.h"
#include "util/file.h"

static struct str unescape(struct arena *a, struct str text)
{
    char *out = arena_text(a, text);
    size_t n = 0;

    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] == '\\' && i + 1 < text.n)
            out[n++] = (char)(text.p[++i] == 'n' ? '\n' : text.p[i] == 'r' ? '\r' : text.p[i]);
        else
            out[n++] = text.p[i];
    return (struct str){out, n};
}

static struct str dash(struct str field)
{
    return str_eq(field, STR("-")) ? STR("") : field;
}

/* "A=1 ; B=" */
static struct str shown(struct arena *a, const struct client_rule *rule, const char *separator)
{
    AUTO_BUF b = {0};

    buf_init(&b, 4096);
    for (size_t i = 0; i < rule->variables.n; i++)
        buf_addf(&b, "%s" STR_FMT "=" STR_FMT, i ? separator : "",
                 STR_ARG(rule->variables.v[i].name), STR_ARG(rule->variables.v[i].value));
    return arena_copy(a, buf_str(&b));
}

static struct client_query query_of(struct arena *a, struct str ip, struct str name,
                                    struct str user)
{
    struct client_query q = {.name = dash(name), .user = dash(user)};

    (void)a;
    assert_int_equal(addr_parse(ip, 0, &q.address, NULL), RC_OK);
    return q;
}

static struct str read_data(struct arena *a, const char *name)
{
    struct str text = STR_NONE;
    struct why why;

    if (file_read(name, 1 << 20, a, &text, &why) != RC_OK)
        fail_msg("%s: %s", name, why.text);
    (void)str_cut(&text, (char)10); /* the heading */
    return text;
}

/* ---- tcp.rules ---- */

struct vector {
    struct str id, source, rules, ip, name, user, decision, matched, variables;
};

static bool next_vector(struct str *text, struct vector *v)
{
    struct str line = str_cut(text, '\n');
    struct str *fields[] = {&v->id,   &v->source,   &v->rules,   &v->ip,       &v->name,
                            &v->user, &v->decision, &v->matched, &v->variables};

    for (size_t i = 0; i < COUNT(fields); i++)
        *fields[i] = str_cut(&line, '\t');
    return v->id.n > 0;
}

static void check_error(const struct vector *v, enum rc rc, const struct why *why)
{
    struct str wanted = dash(v->matched).n ? v->matched : v->variables;

    if (rc != RC_CONFIG || str_find(str_of(why->text), wanted) < 0)
        fail_msg(STR_FMT ": rc %d \"%s\", want \"" STR_FMT "\"", STR_ARG(v->id), rc, why->text,
                 STR_ARG(wanted));
}

static void check_found(struct arena *a, const struct vector *v, enum rc rc,
                        const struct client_rule *rule, bool compiled)
{
    struct str decision =
        rc == RC_NONE || rule->decision == CLIENT_ALLOW ? STR("allow") : STR("deny");
    struct str key = rc == RC_NONE ? STR("none") : rule->key.n ? rule->key : STR("(empty)");
    struct str variables = rc == RC_NONE ? STR("") : shown(a, rule, " ; ");
    /* in compiled rules a range is its members, a network its canonical name */
    bool same_key = str_eq(key, v->matched) || (compiled && str_index(v->matched, '/') > 0);

    if (!str_eq(decision, v->decision) || !same_key || !str_eq(variables, dash(v->variables)))
        fail_msg(STR_FMT ": " STR_FMT " by " STR_FMT " [" STR_FMT "]", STR_ARG(v->id),
                 STR_ARG(decision), STR_ARG(key), STR_ARG(variables));
}

static void test_instructions(void **unused)
{
    struct arena *a = arena_new(65536);
    struct str text = read_data(a, "tests/data/qmail-instructions.tests.tsv");
    struct vector v;
    int n = 0;

    (void)unused;
    while (next_vector(&text, &v)) {
        struct client_query q = query_of(a, v.ip, v.name, v.user);
        struct client_rule rule = {0};
        struct tcprules *rules = NULL;
        struct why why = {0};
        enum rc rc = tcprules_parse(unescape(a, v.rules), "F", NULL, a, &rules, &why);
        n++;
        if (str_eq(v.decision, STR("load-error"))) {
            check_error(&v, rc, &why);
            continue;
        }
        if (rc != RC_OK)
            fail_msg(STR_FMT ": %s", STR_ARG(v.id), why.text);
        check_found(a, &v, tcprules_find(rules, &q, a, &rule), &rule, false);
    }
    assert_int_equal(n, 38);
    arena_free(a);
}

/* The same by way of a cdb file. */
static void test_compiled_instructions(void **unused)
{
    struct arena *a = arena_new(65536);
    struct str text = read_data(a, "tests/data/qmail-instructions.tests.tsv");
    struct config_request request = {.main_cf = &STR("")};
    struct table_env env = {0};
    struct config *config = NULL;
    char directory[] = "/tmp/unit-rules-XXXXXX";
    struct vector v;

    (void)unused;
    request.dir = mkdtemp(directory);
    assert_int_equal(config_load(&request, &config, NULL), RC_OK);
    env.config = config;
    while (next_vector(&text, &v)) {
        struct client_query q = query_of(a, v.ip, v.name, v.user);
        struct str path = arena_printf(a, "%s/" STR_FMT, directory, STR_ARG(v.id));
        struct str name = arena_printf(a, "tcprules:" STR_FMT, STR_ARG(path));
        struct client_rule rule = {0};
        struct table *t = NULL;
        struct why why = {0};
        assert_int_equal(file_replace(path.p, unescape(a, v.rules), 0644, &why), RC_OK);
        if (str_eq(v.decision, STR("load-error"))) {
            check_error(&v, table_compile(name, &env, &why), &why);
            assert_int_equal(access(arena_printf(a, STR_FMT ".cdb", STR_ARG(path)).p, F_OK), -1);
        } else {
            if (table_compile(name, &env, &why) != RC_OK ||
                table_open(name, TABLE_STRICT, &env, &t, &why) != RC_OK)
                fail_msg(STR_FMT ": %s", STR_ARG(v.id), why.text);
            check_found(a, &v, client_rule_find(t, &q, a, &rule, &why), &rule, true);
            table_close(t);
            unlink(arena_printf(a, STR_FMT ".cdb", STR_ARG(path)).p);
        }
        unlink(path.p);
    }
    rmdir(directory);
    config_free(config);
    arena_free(a);
}

/* ---- ipsvd ---- */

/* The files of each row: name, mode, lines; NULL ends. */
struct file {
    const char *name, *text;
    mode_t mode;
};

static const struct ipsvd_vector {
    const char *id;
    struct file files[3];
    const char *ip, *name;
    enum rc rc; /* of opening */
    enum client_decision decision;
    const char *variables, *words;
} ipsvd_vectors[] = {
    {"QI01", {{"0", "", 0644}}, "10.1.2.3", "", RC_OK, CLIENT_ALLOW, "", ""},
    {"QI02",
     {{"10.1.2.3", "+A=1\n", 0644}, {"0", "+A=0\n", 0644}},
     "10.1.2.3",
     "",
     RC_OK,
     CLIENT_ALLOW,
     "A=1",
     ""},
    {"QI03",
     {{"10.1.2", "+A=3\n", 0644}, {"10", "+A=1\n", 0644}},
     "10.1.2.3",
     "",
     RC_OK,
     CLIENT_ALLOW,
     "A=3",
     ""},
    {"QI04",
     {{"10", "+A=1\n", 0644}, {"mx.ex.org", "+A=h\n", 0644}},
     "10.1.2.3",
     "mx.ex.org",
     RC_OK,
     CLIENT_ALLOW,
     "A=1",
     ""},
    {"QI05",
     {{"ex.org", "+A=d\n", 0644}, {"org", "+A=t\n", 0644}},
     "5.5.5.5",
     "mx.ex.org",
     RC_OK,
     CLIENT_ALLOW,
     "A=d",
     ""},
    {"QI06",
     {{"0", "# c\n\n+A=1\n+B=\n+PATH\n", 0644}},
     "5.5.5.5",
     "",
     RC_OK,
     CLIENT_ALLOW,
     "A=1 B=",
     ""},
    {"QI07", {{"10.1.2.3", "", 0000}}, "10.1.2.3", "", RC_OK, CLIENT_DENY, "", ""},
    {"QI08",
     {{"10.1.2.3", "/bin/echo 421 busy\n", 0100}},
     "10.1.2.3",
     "",
     RC_CONFIG,
     0,
     "",
     "smtpd_instruction_programs"},
    {"QI09",
     {{"0", "C2:421 too many\\r\\n\n", 0644}},
     "5.5.5.5",
     "",
     RC_OK,
     CLIENT_ALLOW,
     "smtpd_client_connection_count_limit=2 smtpd_client_connection_limit_text=421 too many",
     ""},
    {"QI10",
     {{"0", "C0\n", 0644}},
     "5.5.5.5",
     "",
     RC_OK,
     CLIENT_ALLOW,
     "smtpd_client_connection_count_limit=0 smtpd_client_connection_limit_text=",
     ""},
    {"QI11",
     {{"0", "=dyn.test:10.0.0.1\n", 0644}, {"10.0.0.1", "+A=f\n", 0644}},
     "5.5.5.5",
     "",
     RC_OK,
     CLIENT_ALLOW,
     "A=f",
     ""},
    {"QI12", {{"0", "=dyn.test\n", 0644}}, "6.6.6.6", "", RC_OK, CLIENT_DENY, "", ""},
    {"QI13", {{NULL, NULL, 0}}, "5.5.5.5", "", RC_OK, CLIENT_NO_RULE, "", ""},
    {"QI14",
     {{"0", "what is this\n+A=1\n", 0644}},
     "5.5.5.5",
     "",
     RC_CONFIG,
     0,
     "",
     "/0, line 1: unknown instruction"},
    {"QI15", {{"0~", "+A=1\n", 0644}}, "5.5.5.5", "", RC_OK, CLIENT_NO_RULE, "", ""},
};

static enum rc dyn_test(void *context, struct str host, const struct addr *client)
{
    char text[ADDR_TEXT_SIZE];

    (void)context;
    addr_format(client, text);
    return str_eq(host, STR("dyn.test")) && strcmp(text, "5.5.5.5") == 0 ? RC_OK : RC_NONE;
}

static void check_ipsvd(const struct ipsvd_vector *v, struct str name, const struct table_env *env)
{
    struct arena *a = arena_new(4096);
    struct client_rule rule = {0};
    struct client_query q = query_of(a, str_of(v->ip), str_of(v->name), STR(""));
    struct table *t = NULL;
    struct why why = {0};
    enum rc rc = table_open(name, TABLE_STRICT, env, &t, &why);

    q.has_address = dyn_test;
    if (rc != v->rc || (rc && str_find(str_of(why.text), str_of(v->words)) < 0))
        fail_msg("%s: rc %d %s", v->id, rc, why.text);
    if (rc == RC_OK) {
        rc = client_rule_find(t, &q, a, &rule, &why);
        assert_int_equal(rc, v->decision == CLIENT_NO_RULE ? RC_NONE : RC_OK);
        if (rule.decision != v->decision)
            fail_msg("%s: decision %d", v->id, rule.decision);
        if (!str_eq(shown(a, &rule, " "), str_of(v->variables)))
            fail_msg("%s: " STR_FMT, v->id, STR_ARG(shown(a, &rule, " ")));
        table_close(t);
    }
    arena_free(a);
}

static void test_ipsvd(void **unused)
{
    struct arena *a = arena_new(65536);
    struct config_request request = {.main_cf = &STR("")};
    char directory[] = "/tmp/unit-ipsvd-XXXXXX";
    struct table_env env = {0};
    struct config *config = NULL;

    (void)unused;
    request.dir = mkdtemp(directory);
    assert_int_equal(config_load(&request, &config, NULL), RC_OK);
    env.config = config;
    for (size_t i = 0; i < COUNT(ipsvd_vectors); i++) {
        const struct ipsvd_vector *v = &ipsvd_vectors[i];
        struct str dir = arena_printf(a, "%s/%s", directory, v->id);
        struct str name = arena_printf(a, "ipsvd:" STR_FMT, STR_ARG(dir));
        struct why why = {0};
        enum rc rc;
        assert_int_equal(mkdir(dir.p, 0755), 0);
        for (const struct file *f = v->files; f < v->files + 3 && f->name; f++) {
            struct str path = arena_printf(a, STR_FMT "/%s", STR_ARG(dir), f->name);
            assert_int_equal(file_replace(path.p, str_of(f->text), 0644, &why), RC_OK);
            /* a program that only root can read is no test for others */
            mode_t more = getuid() && (f->mode & 0100) ? 0400 : 0;
            assert_int_equal(chmod(path.p, f->mode | more), 0);
        }
        check_ipsvd(v, name, &env);
        rc = table_compile(name, &env, &why);
        if (rc != v->rc)
            fail_msg("%s: compile: %s", v->id, why.text);
        if (rc == RC_OK)
            check_ipsvd(v, name, &env); /* DIR.cdb counts now */
        for (const struct file *f = v->files; f < v->files + 3 && f->name; f++)
            unlink(arena_printf(a, STR_FMT "/%s", STR_ARG(dir), f->name).p);
        unlink(arena_printf(a, STR_FMT ".cdb", STR_ARG(dir)).p);
        rmdir(dir.p);
    }
    rmdir(directory);
    config_free(config);
    arena_free(a);
}

/* ---- any table ---- */

static const struct {
    const char *text;
    enum rc rc;
    enum client_decision decision;
    const char *reply, *variables;
} texts[] = {
    {"allow", RC_OK, CLIENT_ALLOW, "", ""},
    {"deny", RC_OK, CLIENT_DENY, "", ""},
    {"deny go away now", RC_OK, CLIENT_DENY, "go away now", ""},
    {"RELAYCLIENT=", RC_OK, CLIENT_ALLOW, "", "RELAYCLIENT="},
    {"allow MAXRCPTCOUNT=5, RBL=", RC_OK, CLIENT_ALLOW, "", "MAXRCPTCOUNT=5 RBL="},
    {"allow { smtpd_banner = a b c }", RC_OK, CLIENT_ALLOW, "", "smtpd_banner=a b c"},
    {"allow what", RC_CONFIG, 0, "", ""},
    {"allow MAXRCPTCOUNT=x", RC_CONFIG, 0, "", ""},
    {"TCPREMOTEIP=1.2.3.4", RC_CONFIG, 0, "", ""},
    {"queue_directory=/tmp", RC_CONFIG, 0, "", ""},
};

static void test_texts(void **unused)
{
    struct arena *a = arena_new(4096);

    (void)unused;
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct client_rule rule = {0};
        struct why why = {0};
        enum rc rc = client_rule_parse(str_of(texts[i].text), a, &rule, &why);
        if (rc != texts[i].rc)
            fail_msg("%s: rc %d %s", texts[i].text, rc, why.text);
        if (rc != RC_OK)
            continue;
        assert_int_equal(rule.decision, texts[i].decision);
        assert_str(rule.text, texts[i].reply);
        assert_str(shown(a, &rule, " "), texts[i].variables);
    }
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_instructions),
        cmocka_unit_test(test_compiled_instructions),
        cmocka_unit_test(test_ipsvd),
        cmocka_unit_test(test_texts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
