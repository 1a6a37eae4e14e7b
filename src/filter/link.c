#include "filter/link.h"

#include <stdio.h>

#include "config/config.h"

enum { PIECE_BYTES = 16 * 1024, OUT_MAX = 4 * FILTER_LINE_MAX, IN_MAX = 4 * FILTER_LINE_MAX };

/* ---- connection ---- */

static enum rc take_registered(struct filter_link *l, struct str lines, struct why *why)
{
    struct str line;

    while (str_token(&lines, "\n", &line)) {
        struct filter_line parsed;
        TRY(filter_line_parse(line, &parsed, why));
        TRY(filter_interest_add(&l->interest, &parsed, why));
    }
    return RC_OK;
}

static enum rc greet(struct filter_link *l, const struct filters *fl, struct why *why)
{
    struct filter_hello hello = {.session = str_of(fl->id)};
    struct filter_ready ready = {0};
    AUTO_ARENA a = arena_new(1024);

    TRY(ipc_send_filter_hello(&l->ipc, &hello, -1, why));
    TRY(ipc_read_filter_ready(&l->ipc, a, &ready, NULL, why));
    return take_registered(l, ready.registered, why);
}

enum rc link_open(struct filter_link *l, const struct filter *f, const struct filters *fl,
                  const struct config *config, struct why *why)
{
    AUTO_ARENA a = arena_new(256);
    struct str name;
    enum rc rc;

    *l = (struct filter_link){.filter = f, .ipc = {.fd = -1}};
    if (!f->is_program)
        return RC_OK;
    buf_init(&l->out, OUT_MAX);
    buf_init(&l->in, IN_MAX);
    name = arena_printf(a, "private/" STR_FMT, STR_ARG(f->service));
    rc = ipc_connect(&l->ipc, STR("."), name.p, config->smtpd_filter_timeout * 1000, why);
    if (rc == RC_OK)
        rc = greet(l, fl, why);
    if (rc != RC_OK)
        why_prefix(why, STR_FMT, STR_ARG(f->name));
    return rc;
}

void link_close(struct filter_link *l)
{
    if (l->ipc.fd >= 0)
        ipc_done(&l->ipc);
    buf_done(&l->out);
    buf_done(&l->in);
    *l = (struct filter_link){.ipc = {.fd = -1}};
}

/* ---- lines ---- */

enum rc link_flush(struct filter_link *l, struct why *why)
{
    struct str rest = buf_str(&l->out);
    enum rc rc = RC_OK;

    if (l->out.over)
        return FAIL(why, RC_TEMP, STR_FMT ": too much at once", STR_ARG(l->filter->name));
    while (rest.n && rc == RC_OK) {
        struct filter_text piece = {.text = str_head(rest, PIECE_BYTES)};
        rc = l->ipc.fd < 0 ? FAIL(why, RC_EOF, "not connected")
                           : ipc_send_filter_text(&l->ipc, &piece, -1, why);
        rest = str_from(rest, piece.text.n);
    }
    buf_reset(&l->out);
    if (rc != RC_OK)
        why_prefix(why, STR_FMT, STR_ARG(l->filter->name));
    return rc;
}

struct buf *link_event(struct filter_link *l, enum filter_event e, const char *session)
{
    bool is_out = l->is_out;

    if (l->ipc.fd < 0 || !(is_out ? l->interest.out_events : l->interest.events)[e])
        return NULL;
    filter_begin_event(&l->out, e, is_out, session);
    return &l->out;
}

static enum rc read_line(struct filter_link *l, struct str *line, struct why *why)
{
    for (;;) {
        struct str rest = str_from(buf_str(&l->in), l->in_start);
        ssize_t end = str_index(rest, '\n');
        struct filter_text piece = {0};
        if (end >= 0) {
            *line = str_head(rest, (size_t)end);
            l->in_start += (size_t)end + 1;
            return RC_OK;
        }
        if (l->in_start) {
            memmove(l->in.p, rest.p, rest.n);
            buf_truncate(&l->in, rest.n);
            l->in_start = 0;
        }
        AUTO_ARENA a = arena_new(PIECE_BYTES);
        TRY(ipc_read_filter_text(&l->ipc, a, &piece, NULL, why));
        buf_add(&l->in, piece.text);
        if (l->in.over)
            return FAIL(why, RC_PERM, "line longer than %d bytes", IN_MAX);
    }
}

/* The next line of that kind about this question; what came too late for an earlier one is passed
 * over. */
static enum rc read_answer(struct filter_link *l, const char *token, enum filter_word word,
                           struct filter_line *answer, struct why *why)
{
    for (;;) {
        struct str line;
        TRY(read_line(l, &line, why));
        TRY(filter_line_parse(line, answer, why));
        if (str_eq(answer->token, str_of(token)) && answer->word == word)
            return RC_OK;
    }
}

static void new_token(struct filters *fl, char token[17])
{
    snprintf(token, 17, "%016lx", ++fl->tokens);
}

static enum rc ask(struct filter_link *l, struct filters *fl, enum filter_phase phase,
                   struct str first, struct str parameter, struct filter_line *answer,
                   struct why *why)
{
    char token[17];

    if (l->ipc.fd < 0)
        return FAIL(why, RC_EOF, "not connected");
    new_token(fl, token);
    filter_begin_request(&l->out, phase, fl->id, token);
    if (first.p)
        filter_add(&l->out, first);
    filter_end(&l->out, parameter.p ? parameter : STR("")); /* programs count on the field */
    TRY(link_flush(l, why));
    return read_answer(l, token, WORD_RESULT, answer, why);
}

enum rc link_ask(struct filter_link *l, struct filters *fl, enum filter_phase phase,
                 struct str first, struct str parameter, struct filter_line *answer,
                 struct why *why)
{
    enum rc rc = ask(l, fl, phase, first, parameter, answer, why);

    if (rc != RC_OK)
        why_prefix(why, STR_FMT " at %s", STR_ARG(l->filter->name), filter_phase_name(phase));
    return rc;
}

/* ---- content ---- */

/* The next program that wants to see it, from i on; n: none. */
static size_t next_reader(const struct filters *fl, size_t i)
{
    while (i < fl->n &&
           !(fl->set->list[i]->is_program && fl->links[i].interest.phases[FILTER_DATA_LINE]))
        i++;
    return i;
}

enum rc filtered_begin(struct filters *fl, struct why *why)
{
    (void)why;
    fl->has_content = next_reader(fl, 0) < fl->n;
    buf_done(&fl->line);
    buf_init(&fl->line, FILTER_LINE_MAX);
    new_token(fl, fl->content_token);
    return RC_OK;
}

/* Dots are escaped as on the wire; a single dot is the end. */
static enum rc say_line(struct filters *fl, size_t i, struct str line, bool is_end, struct why *why)
{
    struct filter_link *l = &fl->links[i];

    filter_begin_request(&l->out, FILTER_DATA_LINE, fl->id, fl->content_token);
    buf_addc(&l->out, '|');
    if (!is_end && line.n && line.p[0] == '.')
        buf_addc(&l->out, '.');
    buf_add(&l->out, is_end ? STR(".") : line);
    buf_addc(&l->out, '\n');
    return is_end || l->out.n > PIECE_BYTES ? link_flush(l, why) : RC_OK;
}

enum rc filtered_add(struct filters *fl, struct str line, bool more, struct why *why)
{
    struct str whole = line;
    enum rc rc;

    if (more || fl->line.n) {
        buf_add(&fl->line, line);
        if (more && fl->line.n < FILTER_LINE_MAX - PIECE_BYTES)
            return RC_OK;
        whole = buf_str(&fl->line);
    }
    rc = say_line(fl, next_reader(fl, 0), whole, false, why);
    buf_reset(&fl->line);
    return rc;
}

enum rc filtered_end(struct filters *fl, void (*take)(void *context, struct str line),
                     void *context, struct why *why)
{
    size_t i = next_reader(fl, 0), next;

    TRY(say_line(fl, i, STR_NONE, true, why));
    for (; i < fl->n; i = next) {
        next = next_reader(fl, i + 1);
        for (;;) {
            struct filter_line out;
            struct str line;
            TRY(read_answer(&fl->links[i], fl->content_token, WORD_DATALINE, &out, why));
            line = out.parameter;
            if (str_eq(line, STR(".")))
                break;
            line = str_from(line, line.n > 1 && line.p[0] == '.');
            if (next < fl->n)
                TRY(say_line(fl, next, line, false, why));
            else
                take(context, line);
        }
        if (next < fl->n)
            TRY(say_line(fl, next, STR_NONE, true, why));
    }
    buf_done(&fl->line);
    return RC_OK;
}
