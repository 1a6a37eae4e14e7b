#include "wire/transcript.h"

void transcript_init(struct transcript *t)
{
    buf_init(&t->first, TRANSCRIPT_FIRST_MAX);
    buf_init(&t->last, TRANSCRIPT_LAST_MAX);
    t->left_out = 0;
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

static void add_line(struct transcript *t, const char *who, struct str line)
{
    struct buf *to = &t->first;

    line = str_head(line, 500);
    if (t->left_out || t->last.n || to->n + line.n + 8 > TRANSCRIPT_FIRST_MAX)
        to = &t->last;
    if (to->n + line.n + 8 > TRANSCRIPT_LAST_MAX)
        make_room(t);
    buf_addf(to, "%4s: " STR_FMT "\n", who, STR_ARG(line));
}

void transcript_add(struct transcript *t, const char *who, struct str text)
{
    if (t == NULL)
        return;
    do {
        add_line(t, who, str_cut(&text, '\n'));
    } while (text.p);
}
