#include "config/lines.h"

void lines_start(struct line_reader *r, char *text, size_t n)
{
    *r = (struct line_reader){text, text + n, 0};
}

/* Take one physical line without its line end; false at the end of the text. */
static bool take_physical(struct line_reader *r, char **start, size_t *n)
{
    char *newline;

    if (r->next >= r->end)
        return false;
    *start = r->next;
    newline = memchr(r->next, '\n', (size_t)(r->end - r->next));
    *n = (size_t)((newline ? newline : r->end) - r->next);
    r->next = newline ? newline + 1 : r->end;
    r->number++;
    return true;
}

static bool is_ignored(const char *p, size_t n)
{
    struct str text = str_ltrim((struct str){p, n});

    return text.n == 0 || text.p[0] == '#';
}

bool lines_next(struct line_reader *r, struct str *line, int *number)
{
    char *first = NULL, *write = NULL, *start;
    size_t n;

    for (;;) {
        struct line_reader before = *r;
        if (!take_physical(r, &start, &n))
            break;
        if (is_ignored(start, n))
            continue;
        if (first && !is_white(*start)) {
            *r = before; /* the next logical line starts here */
            break;
        }
        if (first == NULL) {
            first = write = start;
            *number = r->number;
        } else {
            memmove(write, start, n);
        }
        write += n;
    }
    if (first == NULL)
        return false;
    *line = str_trim((struct str){first, (size_t)(write - first)});
    ((char *)line->p)[line->n] = '\0';
    return true;
}
