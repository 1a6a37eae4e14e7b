/* Values of access tables and answers of policy servers: access(5). */
#include "access/restrictions.h"
#include "config/config.h"
#include "global/dsn.h"

struct outcome {
    struct access_context *c;
    struct str table; /* for messages */
    struct str word;  /* of the result */
    struct str subject;
    const char *class;
};

/* Enhanced codes about addresses (X.1.n) fit only one side: sender, recipient, or none. */
static const struct {
    char detail;
    const char *sender, *recipient;
} address_codes[] = {
    {'1', "1.7", "1.1"}, {'2', "1.8", "1.2"}, {'3', "1.7", "1.3"}, {'4', "1.7", "1.4"},
    {'5', "1.0", "1.5"}, {'6', "1.7", "1.6"}, {'7', "1.7", "1.3"}, {'8', "1.8", "1.2"},
};

static const char *fit_address_code(struct str dsn, const char *class)
{
    bool sender = strcmp(class, CLASS_SENDER) == 0, recipient = strcmp(class, CLASS_RECIPIENT) == 0;
    const char *fit = "1.0";

    if (!sender && !recipient)
        return "0.0";
    for (size_t i = 0; dsn.n == 5 && i < sizeof address_codes / sizeof *address_codes; i++)
        if (address_codes[i].detail == dsn.p[4])
            fit = sender ? address_codes[i].sender : address_codes[i].recipient;
    return fit;
}

static const char *fit_dsn(struct access_context *c, struct str dsn, const char *class)
{
    const char *fit;

    if (dsn.n < 5 || dsn.p[2] != '1' || dsn.p[3] != '.')
        return arena_text(c->arena, dsn);
    fit = fit_address_code(dsn, class);
    if (str_eq(str_from(dsn, 2), str_of(fit)))
        return arena_text(c->arena, dsn);
    fit = arena_printf(c->arena, "%c.%s", dsn.p[0], fit).p;
    log_info(c->log, "mapping DSN status " STR_FMT " into %s status %s", STR_ARG(dsn), class, fit);
    return fit;
}

/* "[X.Y.Z] [text]" of a result, with defaults. */
static const char *split_text(const struct outcome *o, struct str *text, const char *dsn,
                              struct str dflt)
{
    struct str status, rest;

    dsn_split(*text, dsn, &status, &rest);
    *text = rest.n ? rest : dflt;
    return fit_dsn(o->c, status, o->class);
}

static enum verdict result_reject(const struct outcome *o, struct str text)
{
    const char *dsn = split_text(o, &text, "5.7.1", STR("Access denied"));

    return refuse_subject(o->c, o->c->access->config->access_map_reject_code, dsn, o->subject,
                          o->class, text);
}

static enum verdict result_defer(const struct outcome *o, struct str text)
{
    const char *dsn = split_text(o, &text, "4.7.1", STR("Access denied"));

    return refuse_subject(o->c, o->c->access->config->access_map_defer_code, dsn, o->subject,
                          o->class, text);
}

static enum verdict result_defer_if(const struct outcome *o, struct str text,
                                    struct access_pending *p)
{
    const char *dsn = split_text(o, &text, "4.7.1", STR("Service unavailable"));

    return defer_if(o->c, p, o->c->access->config->access_map_defer_code, dsn,
                    subject_text(o->c, o->subject, o->class, text));
}

static enum verdict result_defer_if_permit(const struct outcome *o, struct str text)
{
    return result_defer_if(o, text, &o->c->if_permit);
}

static enum verdict result_defer_if_reject(const struct outcome *o, struct str text)
{
    return result_defer_if(o, text, &o->c->if_reject);
}

static enum verdict result_dunno(const struct outcome *o, struct str text)
{
    (void)o;
    (void)text;
    return DUNNO;
}

static enum verdict result_permit(const struct outcome *o, struct str text)
{
    (void)text;
    log_permit(o->c, o->word, o->subject, o->class, o->table);
    return PERMIT;
}

static enum verdict result_hangup(const struct outcome *o, struct str text)
{
    if (o->c->warn_only)
        return DUNNO;
    access_log(o->c, "hangup", text);
    return HANGUP;
}

/* "<subject>: class text" */
static void log_action(const struct outcome *o, const char *action, struct str text)
{
    access_log(o->c, action,
               arena_printf(o->c->arena, "<" STR_FMT ">: %s " STR_FMT, STR_ARG(o->subject),
                            o->class, STR_ARG(text)));
}

static enum verdict result_warn(const struct outcome *o, struct str text)
{
    access_log(o->c, "warn", text);
    return DUNNO;
}

static enum verdict result_info(const struct outcome *o, struct str text)
{
    access_log(o->c, "info", text);
    return DUNNO;
}

static enum verdict result_hold(const struct outcome *o, struct str text)
{
    log_action(o, "hold", text.n ? text : STR("triggers HOLD action"));
    o->c->actions.hold = true;
    return DUNNO;
}

static enum verdict result_discard(const struct outcome *o, struct str text)
{
    log_action(o, "discard", text.n ? text : STR("triggers DISCARD action"));
    o->c->actions.discard = true;
    return PERMIT;
}

static enum verdict needs_argument(const struct outcome *o, const char *action, const char *what)
{
    log_warning(o->c->log, "access table " STR_FMT " entry for \"" STR_FMT "\": %s needs %s",
                STR_ARG(o->table), STR_ARG(o->subject), action, what);
    return DUNNO;
}

static enum verdict result_filter(const struct outcome *o, struct str text)
{
    if (str_index(text, ':') < 0)
        return needs_argument(o, "FILTER", "a destination transport:nexthop");
    log_action(o, "filter", arena_printf(o->c->arena, "triggers FILTER " STR_FMT, STR_ARG(text)));
    o->c->actions.filter = arena_copy(o->c->arena, text);
    return DUNNO;
}

static enum verdict result_redirect(const struct outcome *o, struct str text)
{
    if (str_index(text, '@') < 0)
        return needs_argument(o, "REDIRECT", "an address user@domain");
    log_action(o, "redirect",
               arena_printf(o->c->arena, "triggers REDIRECT " STR_FMT, STR_ARG(text)));
    o->c->actions.redirect = arena_copy(o->c->arena, text);
    return DUNNO;
}

static enum verdict result_bcc(const struct outcome *o, struct str text)
{
    if (str_index(text, '@') < 0)
        return needs_argument(o, "BCC", "an address user@domain");
    log_action(o, "bcc", arena_printf(o->c->arena, "triggers BCC " STR_FMT, STR_ARG(text)));
    vec_add(o->c->arena, &o->c->actions.bcc, arena_copy(o->c->arena, text));
    return DUNNO;
}

static enum verdict result_prepend(const struct outcome *o, struct str text)
{
    ssize_t colon = str_index(text, ':');

    if (o->c->list == ACCESS_END_OF_DATA) {
        log_warning(o->c->log,
                    "access table " STR_FMT ": action PREPEND must be used before "
                    "smtpd_end_of_data_restrictions",
                    STR_ARG(o->table));
        return DUNNO;
    }
    if (colon <= 0 || str_index_any(str_head(text, (size_t)colon), " \t") >= 0)
        return needs_argument(o, "PREPEND", "a header line \"Name: value\"");
    vec_add(o->c->arena, &o->c->actions.headers, arena_copy(o->c->arena, text));
    return DUNNO;
}

enum {
    NEEDS_MESSAGE = 1, /* is done to the message, so there must be one */
};

static const struct result {
    const char *word;
    enum verdict (*act)(const struct outcome *o, struct str text);
    int flags;
} results[] = {
    {"DUNNO", result_dunno, 0},
    {"OK", result_permit, 0},
    {"RELAY", result_permit, 0},
    {"REJECT", result_reject, 0},
    {"DEFER", result_defer, 0},
    {"DEFER_IF_PERMIT", result_defer_if_permit, 0},
    {"DEFER_IF_REJECT", result_defer_if_reject, 0},
    {"HANGUP", result_hangup, 0},
    {"WARN", result_warn, 0},
    {"INFO", result_info, 0},
    {"HOLD", result_hold, NEEDS_MESSAGE},
    {"DISCARD", result_discard, NEEDS_MESSAGE},
    {"FILTER", result_filter, NEEDS_MESSAGE},
    {"REDIRECT", result_redirect, NEEDS_MESSAGE},
    {"BCC", result_bcc, NEEDS_MESSAGE},
    {"PREPEND", result_prepend, NEEDS_MESSAGE},
};

static bool can_act(const struct outcome *o, const struct result *r)
{
    const struct access_context *c = o->c;

    if ((r->flags & NEEDS_MESSAGE) == 0)
        return true;
    if (c->list == ACCESS_ETRN) {
        log_warning(c->log,
                    "access table " STR_FMT ": action %s is unavailable in smtpd_etrn_restrictions",
                    STR_ARG(o->table), r->word);
        return false;
    }
    if (c->sender.p == NULL) {
        log_warning(c->log,
                    "access table " STR_FMT
                    ": with smtpd_delay_reject=no, action %s is always skipped in "
                    "Client host or Helo command restrictions",
                    STR_ARG(o->table), r->word);
        return false;
    }
    return true;
}

/* "NNN [X.Y.Z] text" */
static enum verdict result_code(const struct outcome *o, long code, struct str text)
{
    char dsn[] = {code >= 500 ? '5' : '4', '.', '7', '.', '1', '\0'};
    const char *status = split_text(o, &text, dsn, STR("Access denied"));

    return refuse_subject(o->c, code, status, o->subject, o->class, text);
}

/* Names of restrictions and classes. */
static enum verdict result_program(const struct outcome *o, struct str value)
{
    struct access_context *c = o->c;
    struct str subject = c->subject;
    const char *class = c->subject_class;
    const struct program *program = NULL;
    struct step call = {.name = o->table};
    struct why why;
    enum verdict v;

    if (program_compile((struct access *)c->access, c->arena, "its value", value, c->list, false,
                        &program, &why) != RC_OK) {
        log_warning(c->log, "access table " STR_FMT " entry for \"" STR_FMT "\": %s",
                    STR_ARG(o->table), STR_ARG(o->subject), why.text);
        return access_refuse(c, 451, "4.3.5", STR("Server configuration error"));
    }
    call.program = program;
    c->subject = o->subject;
    c->subject_class = o->class;
    v = run_class(c, &call);
    c->subject = subject;
    c->subject_class = class;
    return v;
}

enum verdict table_result(struct access_context *c, struct str table, struct str value,
                          struct str subject, const char *class)
{
    struct outcome o = {c, table, STR_NONE, subject, class};
    struct str text = str_trim(value), word;
    long code;

    if (text.n == 0) {
        log_warning(c->log,
                    "access table " STR_FMT " entry for \"" STR_FMT
                    "\" has an empty value; it counts "
                    "as OK",
                    STR_ARG(table), STR_ARG(subject));
        return PERMIT;
    }
    word = text;
    word.n = 0;
    while (word.n < text.n && !is_white(text.p[word.n]))
        word.n++;
    o.word = word;
    for (size_t i = 0; i < sizeof results / sizeof *results; i++)
        if (str_eq_nocase(word, str_of(results[i].word)))
            return can_act(&o, &results[i]) ? results[i].act(&o, str_trim(str_from(text, word.n)))
                                            : DUNNO;
    if (str_is_digits(text))
        return result_permit(&o, text);
    if (word.n == 3 && str_to_long(word, 400, 599, &code))
        return result_code(&o, code, str_trim(str_from(text, 3)));
    return result_program(&o, text);
}
