/* Questions to all filters of a session, and reports. */
#include <stdio.h>
#include <sys/random.h>

#include "filter/link.h"

enum { PARAMETER_ARENA = 1024 };

/* ---- life ---- */

enum rc filters_open(const struct filter_set *set, bool is_out, const struct config *config,
                     struct arena *arena, struct filters **out, struct why *why)
{
    struct filters *fl = arena_new_of(arena, struct filters);
    unsigned long number = 0;

    (void)!getrandom(&number, sizeof number, 0);
    *fl = (struct filters){.set = set, .n = set->n, .arena = arena_new(PARAMETER_ARENA)};
    fl->links = arena_array(arena, struct filter_link, set->n);
    for (size_t i = 0; i < fl->n; i++)
        fl->links[i] = (struct filter_link){.ipc = {.fd = -1}};
    snprintf(fl->id, sizeof fl->id, "%016lx", number);
    *out = fl;
    for (size_t i = 0; i < fl->n; i++) {
        TRY(link_open(&fl->links[i], set->list[i], fl, config, why));
        fl->links[i].is_out = is_out;
    }
    return RC_OK;
}

void filters_close(struct filters *fl)
{
    for (size_t i = 0; i < fl->n; i++)
        link_close(&fl->links[i]);
    buf_done(&fl->line);
    arena_free(fl->arena);
}

enum rc filters_flush(struct filters *fl, struct why *why)
{
    for (size_t i = 0; i < fl->n; i++)
        if (fl->set->list[i]->is_program)
            TRY(link_flush(&fl->links[i], why));
    return RC_OK;
}

/* ---- reports ---- */

void filters_tell(struct filters *fl, enum filter_event e, struct str first, struct str second,
                  struct str last)
{
    for (size_t i = 0; i < fl->n; i++) {
        struct buf *b = link_event(&fl->links[i], e, fl->id);
        if (b == NULL)
            continue;
        if (first.p)
            filter_add(b, first);
        if (second.p)
            filter_add(b, second);
        filter_end(b, last);
    }
}

struct str filters_endpoint(struct filters *fl, struct str address, struct str port)
{
    bool is_v6 = str_index(address, ':') >= 0;

    if (address.n == 0)
        return STR("unix:local");
    return arena_printf(fl->arena, "%s" STR_FMT "%s:" STR_FMT, is_v6 ? "[" : "", STR_ARG(address),
                        is_v6 ? "]" : "", STR_ARG(port.n ? port : STR("0")));
}

void filters_tell_connect(struct filters *fl, const struct filter_facts *facts, struct str src,
                          struct str dest)
{
    for (size_t i = 0; i < fl->n; i++) {
        struct buf *b = link_event(&fl->links[i], EVENT_LINK_CONNECT, fl->id);
        if (b == NULL)
            continue;
        filter_add(b, facts->rdns);
        filter_add(b, facts->fcrdns ? STR("pass") : STR("fail"));
        filter_add(b, src);
        filter_end(b, dest);
    }
}

void filters_tell_begin(struct filters *fl)
{
    unsigned number = 0;

    (void)!getrandom(&number, sizeof number, 0);
    snprintf(fl->message, sizeof fl->message, "%08x", number ? number : 1);
    filters_tell(fl, EVENT_TX_BEGIN, STR_NONE, STR_NONE, str_of(fl->message));
}

void filters_tell_recipient(struct filters *fl, struct str address, struct str result)
{
    if (str_eq(result, STR("ok")))
        filters_tell(
            fl, EVENT_TX_ENVELOPE, str_of(fl->message), STR_NONE,
            arena_printf(fl->arena, "%s%08lx", fl->message, str_hash(address) & 0xffffffff));
    filters_tell(fl, EVENT_TX_RCPT, str_of(fl->message), result, address);
}

/* What the filters together have said; asked also when nobody is concerned. */
static void tell_response(struct filters *fl, enum filter_phase phase,
                          enum filter_decision decision, struct str parameter)
{
    struct str name = str_of(phase == FILTER_CONNECT ? "connected" : filter_phase_name(phase));
    struct str word = str_of(filter_decision_name(decision));

    for (size_t i = 0; i < fl->n; i++) {
        struct buf *b = link_event(&fl->links[i], EVENT_FILTER_RESPONSE, fl->id);
        if (b == NULL)
            continue;
        filter_add(b, name);
        if (parameter.p)
            filter_add(b, word);
        filter_end(b, parameter.p ? parameter : word);
    }
}

static void tell_report(struct filters *fl, const struct filter *f, struct str text)
{
    for (size_t i = 0; i < fl->n; i++) {
        struct buf *b = link_event(&fl->links[i], EVENT_FILTER_REPORT, fl->id);
        if (b == NULL)
            continue;
        filter_add(b, f->is_program ? STR("proc") : STR("builtin"));
        filter_add(b, f->name);
        filter_end(b, text);
    }
}

/* ---- questions ---- */

bool filters_refuse(const struct verdict_of_filters *v)
{
    return v->decision == DECIDE_REJECT || v->decision == DECIDE_DISCONNECT;
}

static bool is_concerned(const struct filters *fl, size_t i, enum filter_phase phase)
{
    const struct filter *f = fl->set->list[i];

    return f->is_program ? fl->links[i].interest.phases[phase] : f->phase == phase;
}

/* What one filter says that is concerned. */
static enum rc ask_one(struct filters *fl, size_t i, enum filter_phase phase, struct str first,
                       struct str parameter, const struct filter_facts *known,
                       struct filter_line *answer, struct why *why)
{
    const struct filter *f = fl->set->list[i];
    struct filter_facts facts = *known;

    *answer = (struct filter_line){.decision = DECIDE_PROCEED};
    if (f->is_program) {
        fl->answers++;
        return link_ask(&fl->links[i], fl, phase, first, parameter, answer, why);
    }
    switch (phase) {
    case FILTER_HELO:
    case FILTER_EHLO: facts.helo = parameter; break;
    case FILTER_MAIL_FROM: facts.mail_from = parameter; break;
    case FILTER_RCPT_TO: facts.rcpt_to = parameter; break;
    default: break;
    }
    if (filter_matches(f, &facts)) {
        answer->decision = f->decision;
        answer->parameter = f->text;
    }
    return RC_OK;
}

static struct str without_brackets(enum filter_phase phase, struct str text)
{
    bool has = text.n > 1 && text.p[0] == '<' && text.p[text.n - 1] == '>';
    bool is_address = phase == FILTER_MAIL_FROM || phase == FILTER_RCPT_TO;

    return has && is_address ? (struct str){text.p + 1, text.n - 2} : text;
}

static void take_refusal(const struct filters *fl, size_t i, enum filter_phase phase,
                         const struct log *log, struct str label,
                         const struct verdict_of_filters *v)
{
    log_info(log, "%sfilter " STR_FMT ": %s at %s from " STR_FMT ": " STR_FMT,
             log->queue_id[0] ? "" : "NOQUEUE: ", STR_ARG(fl->set->list[i]->name),
             filter_decision_name(v->decision), filter_phase_name(phase), STR_ARG(label),
             STR_ARG(v->text));
}

static enum rc ask_in_turn(struct filters *fl, enum filter_phase phase, struct str first,
                           const struct filter_facts *facts, const struct log *log,
                           struct str label, struct verdict_of_filters *v, struct why *why)
{
    for (size_t i = 0; i < fl->n; i++) {
        struct filter_line answer;
        if (!is_concerned(fl, i, phase))
            continue;
        TRY(ask_one(fl, i, phase, first, v->text, facts, &answer, why));
        log_trace(log, LOG_TRACE_FILTERS,
                  "filters: " STR_FMT " at %s from " STR_FMT ": %s " STR_FMT,
                  STR_ARG(fl->set->list[i]->name), filter_phase_name(phase), STR_ARG(label),
                  filter_decision_name(answer.decision), STR_ARG(answer.parameter));
        switch (answer.decision) {
        case DECIDE_PROCEED: break;
        case DECIDE_REPORT: tell_report(fl, fl->set->list[i], answer.parameter); break;
        case DECIDE_BYPASS: return RC_OK;
        case DECIDE_JUNK:
            if (phase < FILTER_MAIL_FROM)
                fl->junk_session = true;
            else
                fl->junk_message = true;
            break;
        case DECIDE_REWRITE:
            v->decision = DECIDE_REWRITE;
            v->text = arena_copy(fl->arena, without_brackets(phase, answer.parameter));
            break;
        default:
            v->decision = answer.decision;
            v->text = arena_copy(fl->arena, answer.parameter);
            take_refusal(fl, i, phase, log, label, v);
            return RC_OK;
        }
    }
    return RC_OK;
}

enum rc filters_ask(struct filters *fl, enum filter_phase phase, struct str first,
                    struct str parameter, const struct filter_facts *facts, const struct log *log,
                    struct str label, struct verdict_of_filters *out, struct why *why)
{
    bool was_junk = fl->junk_session || fl->junk_message;
    struct verdict_of_filters v = {.decision = DECIDE_PROCEED, .text = parameter};
    bool has_text;

    TRY(ask_in_turn(fl, phase, first, facts, log, label, &v, why));
    has_text = v.decision != DECIDE_PROCEED;
    if (!was_junk && (fl->junk_session || fl->junk_message) && !has_text)
        tell_response(fl, phase, DECIDE_JUNK, STR_NONE);
    else
        tell_response(fl, phase, v.decision, has_text ? v.text : STR_NONE);
    *out = v;
    return RC_OK;
}
