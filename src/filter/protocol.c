/* Lines of the filter protocol, both ways. */
#include <time.h>

#include "filter/filter.h"

static const struct {
    struct str word;
    enum filter_decision decision;
    bool has_parameter;
} answers[] = {
    {STR_INIT("proceed"), DECIDE_PROCEED, false}, {STR_INIT("junk"), DECIDE_JUNK, false},
    {STR_INIT("reject"), DECIDE_REJECT, true},    {STR_INIT("disconnect"), DECIDE_DISCONNECT, true},
    {STR_INIT("rewrite"), DECIDE_REWRITE, true},  {STR_INIT("report"), DECIDE_REPORT, true},
};

/* The next field; false when there is none. */
static bool field(struct str *rest, struct str *out)
{
    if (rest->p == NULL)
        return false;
    *out = str_cut(rest, '|');
    return true;
}

static bool is_reply(struct str text)
{
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
    return text.n >= 3 && (text.p[0] == '4' || text.p[0] == '5') && is_digit(text.p[1]) &&
           is_digit(text.p[2]) && (text.n == 3 || text.p[3] == ' ' || text.p[3] == '-');
}

static enum rc parse_decision(struct str rest, struct filter_line *out, struct why *why)
{
    struct str word;

    if (!field(&rest, &word))
        return FAIL(why, RC_PERM, "no decision");
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        if (!str_eq(word, answers[i].word))
            continue;
        if ((rest.p != NULL) != answers[i].has_parameter)
            return FAIL(why, RC_PERM, STR_FMT " %s a parameter", STR_ARG(word),
                        rest.p ? "takes no" : "needs");
        out->decision = answers[i].decision;
        out->parameter = rest;
        if ((out->decision == DECIDE_REJECT || out->decision == DECIDE_DISCONNECT) &&
            !is_reply(rest))
            return FAIL(why, RC_PERM, "reply \"" STR_FMT "\" does not begin with 4NN or 5NN",
                        STR_ARG(str_head(rest, 100)));
        return RC_OK;
    }
    return FAIL(why, RC_PERM, "unknown decision \"" STR_FMT "\"", STR_ARG(str_head(word, 100)));
}

static enum rc parse_register(struct str rest, struct filter_line *out, struct why *why)
{
    struct str stream, subsystem;

    if (!field(&rest, &stream))
        return FAIL(why, RC_PERM, "register what?");
    if (str_eq(stream, STR("ready")) && rest.p == NULL) {
        out->word = WORD_READY;
        return RC_OK;
    }
    if (str_eq(stream, STR("report")))
        out->word = WORD_REGISTER_REPORT;
    else if (str_eq(stream, STR("filter")))
        out->word = WORD_REGISTER_FILTER;
    else
        return FAIL(why, RC_PERM, "unknown stream \"" STR_FMT "\"", STR_ARG(str_head(stream, 100)));
    if (!field(&rest, &subsystem) || rest.p == NULL)
        return FAIL(why, RC_PERM, "the subsystem is missing");
    out->is_out = str_eq(subsystem, STR("smtp-out"));
    if (!out->is_out && !str_eq(subsystem, STR("smtp-in")))
        return FAIL(why, RC_PERM, "only the subsystems smtp-in and smtp-out are there");
    if (out->is_out && out->word == WORD_REGISTER_FILTER)
        return FAIL(why, RC_PERM, "smtp-out has reports only");
    out->event = rest;
    return RC_OK;
}

enum rc filter_line_parse(struct str line, struct filter_line *out, struct why *why)
{
    struct filter_line found = {0};
    struct str rest = line, word;

    if (memchr(line.p ? line.p : "", '\n', line.n) || !field(&rest, &word))
        return FAIL(why, RC_PERM, "no line");
    if (str_eq(word, STR("register"))) {
        TRY(parse_register(rest, &found, why));
    } else if (str_eq(word, STR("filter-result")) || str_eq(word, STR("filter-dataline"))) {
        found.word = word.n == 13 ? WORD_RESULT : WORD_DATALINE;
        if (!field(&rest, &found.session) || !field(&rest, &found.token) || rest.p == NULL ||
            found.session.n != FILTER_SESSION_SIZE - 1)
            return FAIL(why, RC_PERM, "session or token is missing");
        if (found.word == WORD_DATALINE)
            found.parameter = rest;
        else
            TRY(parse_decision(rest, &found, why));
    } else {
        return FAIL(why, RC_PERM, "unknown word \"" STR_FMT "\"", STR_ARG(str_head(word, 100)));
    }
    *out = found;
    return RC_OK;
}

enum rc filter_interest_add(struct filter_interest *i, const struct filter_line *line,
                            struct why *why)
{
    bool is_report = line->word == WORD_REGISTER_REPORT, found = false;

    for (int e = 0; is_report && e < FILTER_EVENTS; e++)
        if (str_eq(line->event, STR("*")) || str_eq(line->event, str_of(filter_event_name(e))))
            found = (line->is_out ? i->out_events : i->events)[e] = true;
    for (int p = 0; !is_report && p < FILTER_PHASES; p++)
        if (str_eq(line->event, str_of(filter_phase_name(p))))
            found = i->phases[p] = true;
    if (!found)
        return FAIL(why, RC_PERM, "no such %s: \"" STR_FMT "\"", is_report ? "event" : "phase",
                    STR_ARG(str_head(line->event, 100)));
    return RC_OK;
}

/* ---- writing ---- */

static void begin(struct buf *b, const char *stream, bool is_out, const char *what,
                  const char *session)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    buf_addf(b, "%s|" FILTER_PROTOCOL "|%ld.%06ld|smtp-%s|%s|%s", stream, (long)now.tv_sec,
             now.tv_nsec / 1000, is_out ? "out" : "in", what, session);
}

void filter_begin_event(struct buf *b, enum filter_event e, bool is_out, const char *session)
{
    begin(b, "report", is_out, filter_event_name(e), session);
}

void filter_begin_request(struct buf *b, enum filter_phase p, const char *session,
                          const char *token)
{
    begin(b, "filter", false, filter_phase_name(p), session);
    buf_addf(b, "|%s", token);
}

static void add(struct buf *b, struct str text, bool is_last)
{
    buf_addc(b, '|');
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        bool is_bad = c == '\n' || c == '\r' || c == '\0' || (!is_last && c == '|');
        buf_addc(b, is_bad ? '?' : c);
    }
}

void filter_add(struct buf *b, struct str field_text)
{
    add(b, field_text, false);
}

void filter_end(struct buf *b, struct str last)
{
    if (last.p)
        add(b, last, true);
    buf_addc(b, '\n');
}
