#include "wire/transcript.h"

void transcript_init(struct transcript *t, const struct log *log, bool keep)
{
    t->log = log;
    t->peer = STR_NONE;
    t->keep = keep;
    buf_init(&t->first, TRANSCRIPT_FIRST_MAX);
    buf_init(&t->last, TRANSCRIPT_LAST_MAX);
    t->left_out = 0;
    t->watch = NULL;
}

void transcript_done(struct transcript *t)
{
    buf_done(&t->first);
    buf_done(&t->last);
}

/* Forget the older half of the latest lines. */
static void make_room(struct transcript *t)
{
    struct str all = buf_str(&t->last), rest = str_from(all, all.n / 2);

    str_cut(&rest, '\n');
    for (struct str gone = str_head(all, all.n - rest.n); gone.n; t->left_out++)
        str_cut(&gone, '\n');
    memmove(t->last.p, rest.p, rest.n);
    buf_truncate(&t->last, rest.n);
}

static void keep_line(struct transcript *t, const char *who, struct str line)
{
    struct buf *to = &t->first;

    if (t->left_out || t->last.n || to->n + line.n + 8 > TRANSCRIPT_FIRST_MAX)
        to = &t->last;
    if (to->n + line.n + 8 > TRANSCRIPT_LAST_MAX)
        make_room(t);
    buf_add(to, str_of(who));
    buf_add(to, line);
    buf_addc(to, '\n');
}

static void add(struct transcript *t, const char *who, char arrow, struct str text)
{
    if (t == NULL)
        return;
    do {
        struct str line = str_head(str_rtrim(str_cut(&text, '\n')), 500);
        log_trace(t->log, LOG_TRACE_IO, "%c " STR_FMT ": " STR_FMT, arrow, STR_ARG(t->peer),
                  STR_ARG(line));
        if (t->watch)
            t->watch(t->context, arrow == '<', line);
        if (t->keep)
            keep_line(t, who, line);
    } while (text.n);
}

void transcript_in(struct transcript *t, struct str text)
{
    add(t, "  In: ", '<', text);
}

void transcript_out(struct transcript *t, struct str text)
{
    add(t, " Out: ", '>', text);
}
