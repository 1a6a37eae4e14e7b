/* Check rules: all vectors of tests/data/obtuse-rules.tests.tsv, and what is refused. */
#include <stdlib.h>
#include <unistd.h>

#include "access/access.h"
#include "access/ident.h"
#include "access/rules.h"
#include "config/config.h"
#include "unit/name_server.h"
#include "unit/unit.h"
#include "util/buf.h"
#include "util/file.h"

/* ---- one session at RCPT ---- */

static const struct log quiet;

struct world {
    struct name_server dns;
    struct config *config;
    struct rewriter *rewriter;
    struct resolver *resolver;
    struct access *access;
    struct access_context c;
    char rules_path[64];
};

static void write_rules(struct world *w, struct str text)
{
    snprintf(w->rules_path, sizeof w->rules_path, "/tmp/test_rules.XXXXXX");
    int fd = mkstemp(w->rules_path);
    assert_int_equal(fd_write_all(fd, text, NULL), RC_OK);
    close(fd);
}

static enum rc world_open(struct world *w, struct str rules, const char *dns, const char *settings,
                          struct why *why)
{
    struct str main_cf;
    struct config_request request = {.dir = "/nonexistent", .main_cf = &main_cf};
    struct resolver_options how = {0};
    struct access_options options;
    char text[2048];

    *w = (struct world){0};
    how.resolv_conf = w->dns.resolv_conf;
    write_rules(w, rules);
    name_server_start(&w->dns, dns);
    snprintf(text, sizeof text,
             "mynetworks = 192.0.2.0/24\nmydestination =\nalias_maps =\nlocal_recipient_maps =\n"
             "smtpd_relay_restrictions = check_rules_file %s, reject\n%s",
             w->rules_path, settings);
    main_cf = str_of(text);
    assert_int_equal(config_load(&request, &w->config, why), RC_OK);
    assert_int_equal(rewriter_new(w->config, &quiet, &w->rewriter, why), RC_OK);
    w->resolver = resolver_open(&how);
    options = (struct access_options){w->config, &quiet, w->rewriter, w->resolver, NULL};
    TRY(access_open(&options, &w->access, why));
    w->c = (struct access_context){.access = w->access,
                                   .arena = arena_new(1024),
                                   .log = &quiet,
                                   .stage = "RCPT",
                                   .protocol = STR("ESMTP"),
                                   .dry_run = true,
                                   .ident.asked = true,
                                   .list = ACCESS_RELAY};
    return RC_OK;
}

static void world_close(struct world *w)
{
    if (w->access)
        access_close(w->access);
    rewriter_free(w->rewriter);
    resolver_free(w->resolver);
    config_free(w->config);
    if (w->c.arena)
        arena_free(w->c.arena);
    name_server_stop(&w->dns);
    unlink(w->rules_path);
}

static void set_client(struct world *w, struct str address, struct str name)
{
    struct access_client *c = &w->c.client;

    assert_int_equal(addr_parse(address, 0, &c->address, NULL), RC_OK);
    c->name = c->reverse_name = name.n ? name : STR("unknown");
    c->name_status = c->reverse_status = name.n ? PEER_OK : PEER_PERM;
    c->address_text = address;
    c->label =
        arena_printf(w->c.arena, STR_FMT "[" STR_FMT "]", STR_ARG(c->name), STR_ARG(address));
}

/* ---- the vectors ---- */

enum column { ID, RULES, IP, NAME, IDENT, FROM, TO, DNS, OUTCOME, LINE, REPLY, NOTE, COLUMNS };

static struct str unescape(struct arena *a, struct str text)
{
    char *out = arena_alloc(a, text.n + 1);
    size_t n = 0;

    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '\\' && i + 1 < text.n && (text.p[i + 1] == 'n' || text.p[i + 1] == '\\'))
            out[n++] = text.p[++i] == 'n' ? '\n' : '\\';
        else
            out[n++] = text.p[i];
    }
    return (struct str){out, n};
}

static struct str or_none(struct str value)
{
    return str_eq(value, STR("-")) ? STR_NONE : value;
}

static struct str without_brackets(struct str path)
{
    return (struct str){path.p + 1, path.n - 2};
}

static const char *outcome_of(struct world *w, enum verdict v)
{
    if (v == PERMIT)
        return "allow";
    if (v != REJECT)
        return "dunno";
    if (w->c.closes)
        return w->c.delay_seconds ? "deny+delay" : "deny";
    return w->c.delay_seconds ? "noto+delay" : "noto";
}

/* "551 5.7.1 text" -> "551 text" */
static struct str without_enhanced_code(struct world *w)
{
    struct str reply = w->c.reply;

    assert_true(reply.n > 10 && reply.p[4] == reply.p[0]);
    return arena_printf(w->c.arena, "%.4s" STR_FMT, reply.p, STR_ARG(str_from(reply, 10)));
}

static void check_vector(const struct str f[COLUMNS], struct arena *a)
{
    struct world w;
    struct why why = {0};
    enum verdict v;
    enum rc rc = world_open(&w, unescape(a, f[RULES]), arena_text(a, f[DNS]), "", &why);
    struct str line = STR("-");

    if (str_eq(f[OUTCOME], STR("load-error"))) {
        const char *place =
            arena_printf(a, "%s, line " STR_FMT ": ", w.rules_path, STR_ARG(f[LINE])).p;
        assert_int_equal(rc, RC_CONFIG);
        if (strstr(why.text, place) == NULL || str_find(str_of(why.text), f[REPLY]) < 0)
            fail_msg(STR_FMT ": %s", STR_ARG(f[ID]), why.text);
        world_close(&w);
        return;
    }
    if (rc != RC_OK)
        fail_msg(STR_FMT ": %s", STR_ARG(f[ID]), why.text);
    set_client(&w, f[IP], or_none(f[NAME]));
    if (or_none(f[IDENT]).n) {
        char answer_text[128];
        snprintf(answer_text, sizeof answer_text, "1,2:USERID:UNIX:" STR_FMT, STR_ARG(f[IDENT]));
        assert_true(ident_parse(str_of(answer_text), 1, 2, w.c.ident.user));
    }
    w.c.sender = without_brackets(f[FROM]);
    w.c.recipient = without_brackets(f[TO]);
    v = access_run(access_program(w.access, ACCESS_RELAY), &w.c);
    if (w.c.decided.file.p == NULL) { /* "reject" behind the file */
        assert_int_equal(v, REJECT);
        v = DUNNO;
    } else {
        line = arena_printf(a, "%ld", w.c.decided.line);
        assert_str(w.c.decided.file, w.rules_path);
    }
    if (!str_eq(f[OUTCOME], str_of(outcome_of(&w, v))) || !str_eq(line, f[LINE]))
        fail_msg(STR_FMT ": %s in line " STR_FMT, STR_ARG(f[ID]), outcome_of(&w, v), STR_ARG(line));
    if (or_none(f[REPLY]).n && !str_eq(without_enhanced_code(&w), f[REPLY]))
        fail_msg(STR_FMT ": " STR_FMT, STR_ARG(f[ID]), STR_ARG(w.c.reply));
    world_close(&w);
}

static void test_vectors(void **state)
{
    AUTO_ARENA a = arena_new(1024);
    struct str text, line;
    size_t n = 0;

    (void)state;
    assert_int_equal(file_read("tests/data/obtuse-rules.tests.tsv", 1 << 20, a, &text, NULL),
                     RC_OK);
    str_cut(&text, '\n');
    while (text.n) {
        struct str f[COLUMNS];
        line = str_cut(&text, '\n');
        for (int i = 0; i < COLUMNS; i++)
            f[i] = str_cut(&line, '\t');
        check_vector(f, a);
        n++;
    }
    assert_int_equal(n, 56);
}

/* ---- what is refused ---- */

static const struct {
    const char *text;
    const char *words; /* NULL: fine */
} files[] = {
    {"", NULL},
    {"allow:ALL:ALL:ALL", NULL}, /* no line end */
    {"  # comment\n \t \n  allow:ALL:ALL:ALL\r\n", NULL},
    {"# comment \\\nallow::ALL:ALL\n", "line 2: empty field"},
    {"allow:ALL:ALL:ALL:\n", NULL},
    {"allow:ALL:ALL:ALL: # text: more\n", NULL},
    {"allow:ALL:ALL:ALL:550 no: # text\n", NULL},
    {"allow:ALL:ALL:ALL:550 no:\n", "junk after message"},
    {"allow:ALL:ALL:ALL:550\n", NULL},
    {"allow:ALL:ALL:ALL:550x\n", "message must begin with 4xx or 5xx"},
    {"allow:ALL:ALL:ALL:250 fine\n", "message must begin with 4xx or 5xx"},
    {"allow:ALL:ALL:ALL:550 100%\n", "unknown % code"},
    {"Allow:ALL:ALL:ALL\n", "unknown action"},
    {"allow\n", "bad field count"},
    {"allow:ALL: :ALL\n", "empty field"},
    {"allow:EXCEPT ALL:ALL:ALL\n", "EXCEPT needs something"},
    {"allow:ALL EXCEPT:ALL:ALL\n", "EXCEPT needs something"},
    {"allow:[2001:db8::1]:ALL:ALL\n", NULL},
    {"allow:joe@[2001:db8::]/129:ALL:ALL\n", "bad netmask"},
    {"allow:[2001:db8:ALL:ALL\n", "bad field count"},
    {"allow:[nothing]:ALL:ALL\n", "bad address"},
    {"allow:10.0.0.256:ALL:ALL\n", "bad address"},
    {"allow:10.0.0.0/8x:ALL:ALL\n", "bad netmask"},
    {"allow:10.0.0.0/:ALL:ALL\n", "bad netmask"},
    {"allow:host.test/24:ALL:ALL\n", "bad netmask"},
    {"allow:/a(b/:ALL:ALL\n", "bad regular expression"},
    {"allow:/[[:digit:]]+/:ALL:ALL\n", NULL},
    {"allow:ALL:NS=:ALL\n", "nothing behind \"NS=\""},
    {"allow:RBL.:ALL:ALL\n", "nothing behind \"RBL.\""},
    {"allow:ALL:@d.test:ALL\n", "nothing stands before or behind"},
    {"allow:ALL:a@:ALL\n", "nothing stands before or behind"},
    {"allow:ALL:USER@NS=*.test:/x/@/y/\n", NULL},
    {"deny:ALL:ALL:all@d.test user@d.test\n", NULL}, /* names like any other */
    {"deny:/a++++++++++++++++++++++++++++++++++++++/:ALL:ALL\n", "repeats too much"},
    {"deny:/((((a{9}){9}){9}){9}){9}/:ALL:ALL\n", "repeats too much"},
    {"deny:/(((((x*){9}){9}){9})+)+/:ALL:ALL\n", "repeats too much"},
    {"deny:/^@+++*+*+++/:ALL:ALL\n", "repeats too much"},
    {"deny:/^([0-9]{3}\\.){3}[0-9]+$/:ALL:ALL\n", NULL},
    {"deny:/^[a-z]+-[0-9]+\\.[a-z]{3}(x[]+]+y)*$/:ALL:ALL\n", NULL},
    {"deny:all:ALL:ALL\n", "write ALL in capitals"},
    {"deny:joe@Known:ALL:ALL\n", "write KNOWN in capitals"},
    {"deny:ALL:All:ALL\n", "write ALL in capitals"},
    {"deny:ALL:ns=*.x:ALL\n", "write NS= in capitals"},
};

static void test_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(files); i++) {
        struct rules *r = NULL;
        struct why why = {0};
        enum rc rc = rules_parse("FILE", str_of(files[i].text), &r, &why);
        if ((rc == RC_OK) != (files[i].words == NULL))
            fail_msg("%s: %s", files[i].text, rc == RC_OK ? "accepted" : why.text);
        if (rc != RC_OK &&
            (strstr(why.text, files[i].words) == NULL || strncmp(why.text, "FILE, line ", 11) != 0))
            fail_msg("%s: %s", files[i].text, why.text);
        rules_free(r);
    }
}

static void add_times(struct buf *b, const char *text, int n)
{
    for (int i = 0; i < n; i++)
        buf_add(b, str_of(text));
}

static const struct {
    const char *before, *piece, *behind;
    int fits; /* so many pieces; one more does not */
    const char *words;
} limits[] = {
    {"allow:ALL:", "x", ":ALL\n", RULES_TOKEN_MAX, "token longer than 512"},
    {"allow:ALL:ALL:ALL:550 ", "x", "\n", RULES_LINE_MAX - 22, "line longer than 8192"},
    {"allow:ALL", " EXCEPT a", ":ALL:ALL\n", RULES_EXCEPT_MAX, "more than 64 times EXCEPT"},
    {"", "allow:ALL:ALL:ALL\n", "", RULES_MAX, "more than 65536 rules"},
};

static void test_limits(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(limits); i++)
        for (int over = 0; over <= 1; over++) {
            struct rules *r = NULL;
            struct why why = {0};
            AUTO_BUF b = {0};
            enum rc rc;
            buf_init(&b, 1 << 24);
            buf_add(&b, str_of(limits[i].before));
            add_times(&b, limits[i].piece, limits[i].fits + over);
            buf_add(&b, str_of(limits[i].behind));
            rc = rules_parse("FILE", buf_str(&b), &r, &why);
            if (over && (rc != RC_CONFIG || strstr(why.text, limits[i].words) == NULL))
                fail_msg("%s: %s", limits[i].words, rc == RC_OK ? "accepted" : why.text);
            if (!over && rc != RC_OK)
                fail_msg("%s", why.text);
            rules_free(r);
        }
}

/* ---- the index finds what a look at each rule would find ---- */

static const char *const sources[] = {"ALL",
                                      "10.0.0.0/8",
                                      "10.1.2.3",
                                      "*.a.test",
                                      "host.a.test",
                                      "10.1.*",
                                      "KNOWN",
                                      "UNKNOWN",
                                      "ALL EXCEPT 10.1.0.0/16",
                                      "host* 192.0.2.0/24",
                                      "[2001:db8::]/32",
                                      "/^host/"};
static const char *const addresses[] = {"ALL",
                                        "*@x.test",
                                        "u@x.test",
                                        "u@*",
                                        "*u@*.test",
                                        "<>",
                                        "/^u/",
                                        "*@*.x.test EXCEPT b@*",
                                        "u@x.test v@y.test",
                                        "*",
                                        "*v*",
                                        "USER@x.test"};
static const struct {
    const char *address, *name, *from, *to;
} mails[] = {
    {"10.1.2.3", "host.a.test", "u@x.test", "v@y.test"},
    {"10.9.2.3", "", "", "u@x.test"},
    {"192.0.2.9", "HOST2.A.test", "b@s.x.test", "U@X.test"},
    {"2001:db8::5", "n.test", "v", "postmaster"},
};

/* Each rule alone: the first that matches. */
static long first_alone(struct world *w, struct str text)
{
    long line = 0;

    while (text.n) {
        struct rules *r = NULL;
        struct rule_hit hit;
        struct str rule = str_cut(&text, '\n');
        enum rc rc;
        assert_int_equal(rules_parse("FILE", rule, &r, NULL), RC_OK);
        rc = rules_find(r, &w->c, &hit, NULL);
        rules_free(r);
        line++;
        if (rc == RC_OK)
            return line;
    }
    return 0;
}

static void test_index(void **state)
{
    unsigned random = 1;
    struct world w;
    struct why why = {0};

    (void)state;
    assert_int_equal(world_open(&w, STR(""), "", "", &why), RC_OK);
    for (int round = 0; round < 300; round++) {
        struct rules *r = NULL;
        AUTO_BUF b = {0};
        buf_init(&b, 1 << 16);
        for (int i = 0; i < 12; i++) {
            random = random * 1103515245 + 12345;
            buf_addf(&b, "noto:%s:%s:%s\n", sources[(random >> 16) % COUNT(sources)],
                     addresses[(random >> 20) % COUNT(addresses)],
                     addresses[(random >> 8) % COUNT(addresses)]);
        }
        assert_int_equal(rules_parse("FILE", buf_str(&b), &r, &why), RC_OK);
        for (size_t i = 0; i < COUNT(mails); i++) {
            struct rule_hit hit = {0};
            set_client(&w, str_of(mails[i].address), str_of(mails[i].name));
            snprintf(w.c.ident.user, sizeof w.c.ident.user, "u");
            w.c.sender = str_of(mails[i].from);
            w.c.recipient = str_of(mails[i].to);
            assert_true(rules_find(r, &w.c, &hit, &why) != RC_TEMP);
            assert_int_equal(hit.line, first_alone(&w, buf_str(&b)));
        }
        rules_free(r);
    }
    world_close(&w);
}

/* ---- replies, default action, identification ---- */

static enum verdict ask(struct world *w)
{
    set_client(w, STR("198.51.100.7"), STR("c.test"));
    w->c.sender = STR("a@b.test");
    w->c.recipient = STR("c@d.test");
    return access_at_rcpt(&w->c);
}

static const struct {
    const char *rules, *settings, *reply;
    bool closes;
} replies[] = {
    {"noto:ALL:ALL:ALL:550 5.1.1 gone", "", "550 5.1.1 gone", false},
    {"noto:ALL:ALL:ALL:450 5.1.1 gone", "", "450 4.1.1 gone", false},
    {"deny:ALL:ALL:ALL:550 no", "soft_bounce = yes\n", "450 4.7.1 no", true},
    {"", "check_rules_default_action = allow\n", NULL, false},
    {"", "check_rules_default_action = deny\ncheck_rules_default_message = 554 %T%C no\n",
     "554 5.7.1 <c@d.test>: no", true},
    {"noto:TRUSTED:ALL:ALL", "check_rules_default_action = allow\n", NULL, false},
    {"noto:TRUSTED:ALL:ALL", "mynetworks = 198.51.100.0/24\ncheck_rules_default_action = allow\n",
     "550 5.7.1 Mail from <a@b.test> to <c@d.test> prohibited from your location "
     "(UNKNOWN@c.test ip=198.51.100.7)",
     false},
    {"noto:UNTRUSTED:ALL:ALL:550 x", "", "550 5.7.1 x", false},
    {"noto:ALL:user@b.test all@b.test:ALL", "check_rules_default_action = allow\n", NULL, false},
};

static void test_replies(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(replies); i++) {
        struct world w;
        struct why why = {0};
        enum verdict v;
        if (world_open(&w, str_of(replies[i].rules), "", replies[i].settings, &why) != RC_OK)
            fail_msg("%s", why.text);
        v = ask(&w);
        if ((v == REJECT) != (replies[i].reply != NULL))
            fail_msg("%zu: verdict %d", i, v);
        if (v == REJECT)
            assert_str(w.c.reply, replies[i].reply);
        assert_int_equal(w.c.closes, replies[i].closes);
        world_close(&w);
    }
}

static void test_long_reply_is_cut(void **state)
{
    struct world w;
    struct why why = {0};
    AUTO_BUF b = {0};

    (void)state;
    buf_init(&b, 4096);
    buf_add(&b, STR("noto:ALL:ALL:ALL:550 "));
    add_times(&b, "\303\244", 500);
    assert_int_equal(world_open(&w, buf_str(&b), "", "", &why), RC_OK);
    assert_int_equal(ask(&w), REJECT);
    assert_true(w.c.reply.n <= 510 && w.c.reply.n > 500);
    assert_true(str_is_utf8(w.c.reply));
    world_close(&w);
}

/* What rests on DNS is not known without it, so nothing is let in. */
static void test_trouble_is_no_answer(void **state)
{
    struct world w;
    struct why why = {0};

    (void)state;
    assert_int_equal(
        world_open(&w, STR("noto:ALL:NS=*.bad.test:ALL\nallow:ALL:ALL:ALL\n"), "", "", &why),
        RC_OK);
    name_server_stop(&w.dns);
    assert_int_equal(ask(&w), REJECT);
    assert_str(w.c.reply, "451 4.3.0 Temporary lookup failure");
    name_server_start(&w.dns, "");
    world_close(&w);
}

/* What is beyond the limit does not count. */
static void test_limit_of_name_servers(void **state)
{
    static const char dns[] = "many.test NS a.fine.test; many.test NS b.rogue.test";
    static const struct {
        const char *limit;
        enum verdict verdict;
    } rows[] = {{"", REJECT}, {"check_rules_dns_limit = 1\n", DUNNO}};

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct world w;
        struct why why = {0};
        assert_int_equal(world_open(&w,
                                    STR("noto:ALL:NS=*.rogue.test:ALL\n"
                                        "allow:ALL:NS=*.fine.test:ALL\n"),
                                    dns, rows[i].limit, &why),
                         RC_OK);
        set_client(&w, STR("10.0.0.1"), STR_NONE);
        w.c.sender = STR("a@many.test");
        w.c.recipient = STR("c@d.test");
        assert_int_equal(access_at_rcpt(&w.c), rows[i].verdict);
        world_close(&w);
    }
}

/* Which name counts; one that looks like an address never does. */
static void test_client_names(void **state)
{
    static const struct {
        const char *name, *reverse, *settings, *reply;
    } rows[] = {
        {"good.test", "claimed.test", "", "550 5.7.1 good.test"},
        {"good.test", "claimed.test", "check_rules_use_reverse_name = yes\n",
         "550 5.7.1 claimed.test"},
        {"unknown", "claimed.test", "", "550 5.7.1 nobody UNKNOWN"},
        {"10.0.0.9", "claimed.test", "", "550 5.7.1 nobody UNKNOWN"},
        {"good.test", "10.0.0.9", "check_rules_use_reverse_name = yes\n",
         "550 5.7.1 nobody UNKNOWN"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct world w;
        struct why why = {0};
        assert_int_equal(world_open(&w,
                                    STR("noto:KNOWN:ALL:ALL:550 %H\n"
                                        "noto:UNKNOWN:ALL:ALL:550 nobody %H\n"),
                                    "", rows[i].settings, &why),
                         RC_OK);
        set_client(&w, STR("10.0.0.1"), str_of(rows[i].name));
        w.c.client.reverse_name = str_of(rows[i].reverse);
        w.c.sender = STR("a@b.test");
        w.c.recipient = STR("c@d.test");
        assert_int_equal(access_at_rcpt(&w.c), REJECT);
        assert_str(w.c.reply, rows[i].reply);
        world_close(&w);
    }
}

static const struct {
    const char *line, *user; /* NULL: nobody */
} answers[] = {
    {"6193, 23 : USERID : UNIX : StJohns", "stjohns"},
    {"6193,23:USERID:OTHER,US-ASCII:  a b*c;d ", "a b?c?d"},
    {"6193, 23 : USERID : UNIX : a:b", "a:b"},
    {"6193, 23 : ERROR : NO-USER", NULL},
    {"6193, 24 : USERID : UNIX : joe", NULL},
    {"6193, 23 : USERID : UNIX :   ", NULL},
    {"6193, 23 : USERID : UNIX", NULL},
    {"", NULL},
};

static void test_ident_answers(void **state)
{
    char longest[200], user[ACCESS_USER_SIZE];

    (void)state;
    for (size_t i = 0; i < COUNT(answers); i++) {
        bool found = ident_parse(str_of(answers[i].line), 6193, 23, user);
        assert_int_equal(found, answers[i].user != NULL);
        if (found)
            assert_string_equal(user, answers[i].user);
    }
    snprintf(longest, sizeof longest, "1,2:USERID:UNIX:%0150d", 7);
    assert_true(ident_parse(str_of(longest), 1, 2, user));
    assert_int_equal(strlen(user), 80);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_index),
        cmocka_unit_test(test_replies),
        cmocka_unit_test(test_long_reply_is_cut),
        cmocka_unit_test(test_trouble_is_no_answer),
        cmocka_unit_test(test_limit_of_name_servers),
        cmocka_unit_test(test_client_names),
        cmocka_unit_test(test_ident_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
