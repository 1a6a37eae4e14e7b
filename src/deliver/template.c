/* Notification templates: built-in texts, the reader of bounce_template_file, expansion. */
#include "deliver/template.h"

#include "config/config.h"
#include "global/header.h"
#include "global/text.h"
#include "util/file.h"
#include "util/log.h"

enum { TEMPLATE_FILE_MAX = 1024 * 1024 };

static const char *const names[TEMPLATE_KINDS] = {
    [TEMPLATE_FAILURE] = "failure",
    [TEMPLATE_DELAY] = "delay",
    [TEMPLATE_SUCCESS] = "success",
    [TEMPLATE_VERIFY] = "verify",
};

/* clang-format off */
static const struct template builtin[TEMPLATE_KINDS] = {
    [TEMPLATE_FAILURE] = {
        .charset = STR_INIT("us-ascii"),
        .subject = STR_INIT("Undelivered Mail Returned to Sender"),
        .postmaster_subject = STR_INIT("Postmaster Copy: Undelivered Mail"),
        .body = STR_INIT(
            "This is the mail system at host $myhostname.\n"
            "\n"
            "Your message did not reach everybody it was meant for. Each\n"
            "recipient that it could not be delivered to is listed below,\n"
            "with the reason; your message is attached.\n"
            "\n"
            "If the reason does not help you further, write to postmaster\n"
            "and include this report. You need not include your own message.\n"
            "\n"
            "                   The mail system\n")},
    [TEMPLATE_DELAY] = {
        .charset = STR_INIT("us-ascii"),
        .subject = STR_INIT("Delayed Mail (still being retried)"),
        .postmaster_subject = STR_INIT("Postmaster Warning: Delayed Mail"),
        .body = STR_INIT(
            "This is the mail system at host $myhostname.\n"
            "\n"
            "*** Only a warning: please do not send your message again. ***\n"
            "\n"
            "Your message has been waiting for $delay_warning_time_hours hour(s) because it\n"
            "could not be delivered yet. Delivery is tried again and again\n"
            "until the message is $maximal_queue_lifetime_days day(s) old.\n"
            "\n"
            "If you have questions, write to postmaster and include this\n"
            "report. You need not include your own message.\n"
            "\n"
            "                   The mail system\n")},
    [TEMPLATE_SUCCESS] = {
        .charset = STR_INIT("us-ascii"),
        .subject = STR_INIT("Successful Mail Delivery Report"),
        .body = STR_INIT(
            "This is the mail system at host $myhostname.\n"
            "\n"
            "Your message was delivered to, or passed on for, the recipients\n"
            "listed below. Where it says that it was delivered to a mailbox\n"
            "this is the last notice. Where it was passed on, other systems\n"
            "may still report to you when something goes wrong.\n"
            "\n"
            "                   The mail system\n")},
    [TEMPLATE_VERIFY] = {
        .charset = STR_INIT("us-ascii"),
        .subject = STR_INIT("Mail Delivery Status Report"),
        .body = STR_INIT(
            "This is the mail system at host $myhostname.\n"
            "\n"
            "Here is the delivery report that you asked for.\n"
            "\n"
            "                   The mail system\n")},
};
/* clang-format on */

void templates_builtin(const struct config *config, struct templates *t)
{
    for (int k = 0; k < TEMPLATE_KINDS; k++) {
        t->of[k] = builtin[k];
        t->of[k].from = str_eq(config->header_from_format, STR("obsolete"))
                            ? STR("MAILER-DAEMON (Mail Delivery System)")
                            : STR("Mail Delivery System <MAILER-DAEMON>");
    }
}

/* ---- the file ---- */

struct parser {
    const char *file;
    int line; /* that was read last */
    struct str rest;
};

static struct str next_line(struct parser *p)
{
    struct str line = str_cut(&p->rest, '\n');

    p->line++;
    return line.n && line.p[line.n - 1] == '\r' ? str_head(line, line.n - 1) : line;
}

/* Lines up to one that is end. RC_PERM: there is none, so text is all that follows. */
static enum rc take_until(struct parser *p, struct str end, struct str *text, struct why *why)
{
    *text = (struct str){p->rest.p, 0};
    while (p->rest.n) {
        struct str before = p->rest;
        if (str_eq(next_line(p), end))
            return RC_OK;
        text->n += before.n - p->rest.n;
    }
    return FAIL(why, RC_PERM, "%s, line %d: missing \"" STR_FMT "\" at the end of a template",
                p->file, p->line, STR_ARG(end));
}

static enum rc parse_header(const struct parser *p, struct str line, struct template *t,
                            struct why *why)
{
    struct str name = str_head(line, header_name_length(line)), value = header_body(line);
    const struct {
        const char *name;
        struct str *value;
    } headers[] = {
        {"Charset", &t->charset},
        {"From", &t->from},
        {"Subject", &t->subject},
        {"Postmaster-Subject", &t->postmaster_subject},
    };

    for (size_t i = 0; i < value.n; i++)
        if ((unsigned char)value.p[i] < ' ' || (unsigned char)value.p[i] >= 127)
            return FAIL(why, RC_PERM, "%s, line %d: header " STR_FMT " is not ASCII text", p->file,
                        p->line, STR_ARG(name));
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
        if (str_eq_nocase(name, str_of(headers[i].name))) {
            if (value.n == 0)
                return FAIL(why, RC_PERM, "%s, line %d: header %s has no value", p->file, p->line,
                            headers[i].name);
            *headers[i].value = value;
            return RC_OK;
        }
    return FAIL(why, RC_PERM,
                "%s, line %d: unknown header \"" STR_FMT
                "\"; there are Charset, From, Subject and Postmaster-Subject",
                p->file, p->line, STR_ARG(name));
}

/* Headers, up to an empty line or to one that is no header; then the text. */
static enum rc parse_template(struct parser p, struct template *out, struct why *why)
{
    struct template t = *out;
    struct str line;

    for (t.body = p.rest; header_name_length(line = next_line(&p)) > 0; t.body = p.rest)
        TRY(parse_header(&p, line, &t, why));
    if (line.n == 0)
        t.body = p.rest;
    if (t.body.n == 0)
        return FAIL(why, RC_PERM, "%s, line %d: the template has no text", p.file, p.line);
    if (str_eq_nocase(t.charset, STR("us-ascii")) && !str_is_ascii(t.body))
        return FAIL(why, RC_PERM,
                    "%s, line %d: the text is not ASCII; name its character set in a Charset: "
                    "header",
                    p.file, p.line);
    *out = t;
    return RC_OK;
}

static enum rc find_template(const struct parser *p, struct str name, struct templates *t,
                             struct template **out, struct why *why)
{
    for (int k = 0; k < TEMPLATE_KINDS; k++)
        if (str_has_suffix(name, STR("_template")) &&
            str_eq(str_head(name, name.n - 9), str_of(names[k]))) {
            *out = &t->of[k];
            return RC_OK;
        }
    return FAIL(why, RC_PERM,
                "%s, line %d: unknown template \"" STR_FMT
                "\"; there are failure_template, delay_template, success_template and "
                "verify_template",
                p->file, p->line, STR_ARG(name));
}

/* "failure_template = <<EOF", and what follows. */
static enum rc parse_definition(struct parser *p, struct str line, struct templates *t,
                                struct buf *warnings, struct why *why)
{
    struct str name = str_rtrim(str_cut(&line, '=')), value = str_trim(line);
    struct str end = str_trim(str_from(value, 2));
    struct parser text = *p;
    struct template *into;
    struct why reason;
    enum rc rc;

    if (!str_has_prefix(value, STR("<<")) || end.n == 0)
        return FAIL(why, RC_CONFIG, "%s, line %d: \"name = <<END\" should begin a template here",
                    p->file, p->line);
    rc = find_template(p, name, t, &into, &reason);
    if (take_until(p, end, &text.rest, rc == RC_OK ? &reason : NULL) != RC_OK && rc == RC_OK)
        buf_addf(warnings, "%s\n", reason.text);
    if (rc == RC_OK)
        rc = parse_template(text, into, &reason);
    if (rc != RC_OK)
        buf_addf(warnings, "%s -- ignoring this template\n", reason.text);
    return RC_OK;
}

enum rc templates_parse(struct str text, const char *file, struct templates *t,
                        struct buf *warnings, struct why *why)
{
    struct templates result = *t;
    struct parser p = {.file = file, .rest = text};

    if (str_index(text, '\0') >= 0)
        return FAIL(why, RC_CONFIG, "%s: it holds a NUL byte, so it is no text", file);
    while (p.rest.n) {
        struct str line = str_trim(next_line(&p));
        if (line.n && line.p[0] != '#')
            TRY(parse_definition(&p, line, &result, warnings, why));
    }
    *t = result;
    return RC_OK;
}

enum rc templates_load(const struct config *config, struct arena *a, const struct log *log,
                       struct templates *t, struct why *why)
{
    struct str file = config->bounce_template_file, text = STR_NONE, warned;
    AUTO_BUF warnings;
    enum rc rc;

    buf_init(&warnings, 64 * 1024);
    templates_builtin(config, t);
    if (file.n == 0)
        return RC_OK;
    rc = file_read(arena_text(a, file), TEMPLATE_FILE_MAX, a, &text, why);
    if (rc == RC_NONE)
        return FAIL(why, RC_CONFIG, "bounce_template_file " STR_FMT " does not exist",
                    STR_ARG(file));
    if (rc != RC_OK)
        return rc;
    rc = templates_parse(arena_join(a, text, STR("\n")), arena_text(a, file), t, &warnings, why);
    for (warned = buf_str(&warnings); warned.n;) {
        struct str line = str_cut(&warned, '\n');
        log_warning(log, STR_FMT, STR_ARG(line));
    }
    return rc;
}

/* ---- expansion ---- */

struct expansion {
    const struct config *config;
    struct arena *arena;
    struct str unknown; /* the last name without value */
};

/* "delay_warning_time_hours": the time in that unit, rounded up. */
static bool time_in_unit(const struct expansion *x, struct str name, struct str *value)
{
    static const struct {
        const char *suffix;
        long seconds;
    } units[] = {{"_seconds", 1},
                 {"_minutes", 60},
                 {"_hours", 3600},
                 {"_days", 24 * 3600},
                 {"_weeks", 7 * 24 * 3600}};

    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        struct str suffix = str_of(units[i].suffix);
        struct str base = str_head(name, name.n - suffix.n);
        long seconds;
        if (name.n <= suffix.n || !str_has_suffix(name, suffix))
            continue;
        if (str_eq(base, STR("delay_warning_time")))
            seconds = x->config->delay_warning_time;
        else if (str_eq(base, STR("maximal_queue_lifetime")))
            seconds = x->config->maximal_queue_lifetime;
        else
            continue;
        *value = arena_printf(x->arena, "%ld", (seconds + units[i].seconds - 1) / units[i].seconds);
        return true;
    }
    return false;
}

static bool lookup(void *context, struct str name, struct str *value)
{
    struct expansion *x = context;

    if (time_in_unit(x, name, value) || config_get(x->config, name, value) == RC_OK)
        return true;
    x->unknown = name;
    return false;
}

struct str template_expand(const struct config *config, const struct template *t, struct arena *a)
{
    struct expansion x = {.config = config, .arena = a};

    return text_expand(a, t->body, lookup, &x, NULL);
}

/* ---- for postconf ---- */

void templates_print(struct buf *out, const struct templates *t)
{
    for (int k = 0; k < TEMPLATE_KINDS; k++) {
        const struct template *one = &t->of[k];
        buf_addf(out, "%s%s_template = <<EOF\n", k ? "\n" : "", names[k]);
        buf_addf(out, "Charset: " STR_FMT "\n", STR_ARG(one->charset));
        buf_addf(out, "From: " STR_FMT "\n", STR_ARG(one->from));
        buf_addf(out, "Subject: " STR_FMT "\n", STR_ARG(one->subject));
        if (one->postmaster_subject.n)
            buf_addf(out, "Postmaster-Subject: " STR_FMT "\n", STR_ARG(one->postmaster_subject));
        buf_addf(out, "\n" STR_FMT "EOF\n", STR_ARG(one->body));
    }
}

enum rc templates_print_expanded(struct buf *out, const struct config *config,
                                 const struct templates *t, struct why *why)
{
    AUTO_ARENA a = arena_new(16 * 1024);
    struct expansion x = {.config = config, .arena = a};

    for (int k = 0; k < TEMPLATE_KINDS; k++) {
        struct str text = text_expand(a, t->of[k].body, lookup, &x, NULL);
        if (x.unknown.n)
            return FAIL(why, RC_CONFIG,
                        "%s_template: undefined parameter: $" STR_FMT
                        "; a notification would have nothing in its place",
                        names[k], STR_ARG(x.unknown));
        buf_addf(out, "%sexpanded_%s_text = <<EOF\n" STR_FMT "EOF\n", k ? "\n" : "", names[k],
                 STR_ARG(text));
    }
    return RC_OK;
}
