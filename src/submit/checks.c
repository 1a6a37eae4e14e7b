/* What header_checks(5) and body_checks tables answer, and what is then done. */
#include "global/address.h"
#include "global/dsn.h"
#include "global/text.h"
#include "submit/intake.h"

enum { LOGGED_TEXT_MAX = 200, LOGGED_MIME_MAX = 100 };

/* "header Subject: x from host[addr]; from=<s> to=<r>" */
static void add_where(struct submission *s, struct buf *b, struct str text)
{
    AUTO_ARENA a = arena_new(1024);
    struct str shown = arena_copy(a, text);
    struct str from = address_quote(a, s->sender), to = address_quote(a, s->last_recipient);

    text_printable((char *)shown.p, shown.n, '?', true);
    buf_addf(b, STR_FMT " from " STR_FMT "; from=<" STR_FMT ">", STR_ARG(shown), STR_ARG(s->from),
             STR_ARG(from));
    if (to.n)
        buf_addf(b, " to=<" STR_FMT ">", STR_ARG(to));
}

/* "reject: header Subject: x from host[addr]; from=<s> to=<r> proto=ESMTP helo=<h>: text" */
void checks_log(struct submission *s, const char *action, const char *what, struct str text,
                struct str optional)
{
    AUTO_BUF b;

    buf_init(&b, 8 * 1024);
    buf_addf(&b, "%s: %s ", action, what);
    add_where(s, &b, str_head(text, LOGGED_TEXT_MAX));
    if (s->origin.protocol.n)
        buf_addf(&b, " proto=" STR_FMT, STR_ARG(s->origin.protocol));
    if (s->origin.helo.n)
        buf_addf(&b, " helo=<" STR_FMT ">", STR_ARG(s->origin.helo));
    if (optional.n)
        buf_addf(&b, ": " STR_FMT, STR_ARG(optional));
    log_info(&s->log, "%s", buf_text(&b));
}

void checks_log_mime(struct submission *s, const char *reason, struct str text)
{
    AUTO_BUF b;

    buf_init(&b, 8 * 1024);
    buf_addf(&b, "reject: mime-error %s: ", reason);
    add_where(s, &b, str_head(text, LOGGED_MIME_MAX));
    log_info(&s->log, "%s", buf_text(&b));
}

struct check {
    struct submission *s;
    const char *parameter, *what;
    struct str *text;
    struct str argument; /* behind the action word */
};

static void say(const struct check *c, const char *action)
{
    checks_log(c->s, action, c->what, *c->text, c->argument);
}

static bool is_missing(const struct check *c, const char *action)
{
    if (c->argument.n)
        return false;
    log_warning(&c->s->log, "%s action without text in %s map", action, c->parameter);
    return true;
}

static bool do_warn(const struct check *c)
{
    say(c, "warning");
    return true;
}

static bool do_info(const struct check *c)
{
    say(c, "info");
    return true;
}

static bool do_keep(const struct check *c)
{
    (void)c;
    return true;
}

static bool do_pass(const struct check *c)
{
    say(c, "pass");
    c->s->checks_over = true;
    return true;
}

static bool do_ignore(const struct check *c)
{
    (void)c;
    return false;
}

static bool do_strip(const struct check *c)
{
    say(c, "strip");
    return false;
}

static bool do_reject(const struct check *c)
{
    struct str text = c->argument, status, words;
    struct check told = *c;

    dsn_split(text, "5.7.1", &status, &words);
    if (words.n == 0)
        words = STR("message content rejected");
    told.argument = arena_printf(c->s->arena, STR_FMT " " STR_FMT, STR_ARG(status), STR_ARG(words));
    say(&told, "reject");
    submission_fail(c->s, SUBMIT_CONTENT, told.argument);
    c->s->checks_over = true;
    return true; /* a bounce shows it */
}

static bool do_hold(const struct check *c)
{
    if (!(c->s->flags & SUBMIT_HOLD))
        say(c, "hold");
    c->s->flags |= SUBMIT_HOLD;
    return true;
}

static bool do_discard(const struct check *c)
{
    say(c, "discard");
    c->s->flags |= SUBMIT_DISCARD;
    c->s->checks_over = true;
    return true;
}

static bool do_filter(const struct check *c)
{
    if (is_missing(c, "FILTER"))
        return true;
    if (str_index(c->argument, ':') < 1) {
        log_warning(&c->s->log, "bad FILTER command " STR_FMT " in %s -- missing destination",
                    STR_ARG(c->argument), c->parameter);
        return true;
    }
    say(c, "filter");
    submit_set_filter(c->s, c->argument);
    return true;
}

static bool do_redirect(const struct check *c)
{
    if (is_missing(c, "REDIRECT"))
        return true;
    if (str_index(c->argument, '@') < 0) {
        log_warning(&c->s->log, "bad REDIRECT target \"" STR_FMT "\" in %s map; need user@domain",
                    STR_ARG(c->argument), c->parameter);
        return true;
    }
    say(c, "redirect");
    submit_set_redirect(c->s, address_unquote(c->s->arena, c->argument));
    return true;
}

static bool do_bcc(const struct check *c)
{
    if (is_missing(c, "BCC"))
        return true;
    if (str_index(c->argument, '@') < 0) {
        log_warning(&c->s->log, "bad BCC address \"" STR_FMT "\" in %s map; need user@domain",
                    STR_ARG(c->argument), c->parameter);
        return true;
    }
    say(c, "bcc");
    if (c->s->flags & SUBMIT_BCC_OK)
        submit_add_bcc(c->s, address_unquote(c->s->arena, c->argument));
    return true;
}

static bool do_prepend(const struct check *c)
{
    if (is_missing(c, "PREPEND"))
        return true;
    if (strcmp(c->what, "header") == 0 && header_name_length(c->argument) == 0) {
        log_warning(&c->s->log,
                    "bad PREPEND header text \"" STR_FMT
                    "\" in %s map -- need \"headername: headervalue\"",
                    STR_ARG(c->argument), c->parameter);
        return true;
    }
    say(c, "prepend");
    fields_put(c->s, c->argument);
    return true;
}

static bool do_replace(const struct check *c)
{
    if (is_missing(c, "REPLACE"))
        return true;
    if (strcmp(c->what, "header") == 0 && header_name_length(c->argument) == 0) {
        log_warning(&c->s->log,
                    "bad REPLACE header text \"" STR_FMT
                    "\" in %s map -- need \"headername: headervalue\"",
                    STR_ARG(c->argument), c->parameter);
        return true;
    }
    say(c, "replace");
    *c->text = arena_copy(c->s->arena, c->argument);
    return true;
}

/* clang-format off */
static const struct action {
    struct str word;
    bool (*run)(const struct check *c); /* true: the line is kept */
} actions[] = {
    {STR_INIT("BCC"), do_bcc},
    {STR_INIT("DISCARD"), do_discard},
    {STR_INIT("DUNNO"), do_keep},
    {STR_INIT("FILTER"), do_filter},
    {STR_INIT("HOLD"), do_hold},
    {STR_INIT("IGNORE"), do_ignore},
    {STR_INIT("INFO"), do_info},
    {STR_INIT("OK"), do_keep},
    {STR_INIT("PASS"), do_pass},
    {STR_INIT("PREPEND"), do_prepend},
    {STR_INIT("REDIRECT"), do_redirect},
    {STR_INIT("REJECT"), do_reject},
    {STR_INIT("REPLACE"), do_replace},
    {STR_INIT("STRIP"), do_strip},
    {STR_INIT("WARN"), do_warn},
};
/* clang-format on */

bool checks_apply(struct submission *s, struct maps *maps, const char *parameter, const char *what,
                  struct str *text)
{
    AUTO_ARENA scratch = arena_new(512); /* a message may have a million lines */
    struct str answer = STR_NONE, word;
    struct why why;
    enum rc rc = maps_get(maps, *text, scratch, &answer, &why);
    size_t n = 0;

    if (rc == RC_NONE)
        return true;
    if (rc != RC_OK) {
        log_warning(&s->log, "%s map lookup problem: %s -- message not accepted, try again later",
                    parameter, why.text);
        submission_fail(s, SUBMIT_WRITE, STR_NONE);
        return true;
    }
    answer = str_trim(answer);
    while (n < answer.n && !is_white(answer.p[n]))
        n++;
    word = str_head(answer, n);
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++) {
        struct check c = {s, parameter, what, text, str_trim(str_from(answer, n))};
        if (str_eq_nocase(word, actions[i].word))
            return actions[i].run(&c);
    }
    log_warning(&s->log, "unknown command in %s map: " STR_FMT, parameter, STR_ARG(answer));
    return true;
}
