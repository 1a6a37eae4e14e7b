#include "qshape/shape.h"

#include <limits.h>
#include <stdlib.h>

#include "global/address.h"
#include "util/clock.h"
#include "util/map.h"
#include "util/memory.h"

enum { WIDTH_MIN = 80, NAME_MIN = 10, NUMBER_MAX = 24 };

struct row {
    struct str name;
    long subdomains;
    bool is_parent;
    long total;
    long by_age[];
};

struct shape {
    struct shape_options o;
    struct arena *arena;
    struct map rows;
    struct row *total;
    time_t now;
    long messages;
    bool inside; /* of a message that comes in several entries */
};

static struct row *row_new(struct shape *s, struct str name)
{
    struct row *r = arena_alloc(s->arena, sizeof *r + (size_t)s->o.buckets * sizeof *r->by_age);

    r->name = arena_copy(s->arena, name);
    return r;
}

struct shape *shape_new(const struct shape_options *o)
{
    struct shape *s = NEW(struct shape);

    s->o = *o;
    if (s->o.width < WIDTH_MIN)
        s->o.width = WIDTH_MIN;
    s->arena = arena_new(64 * 1024);
    map_init(&s->rows);
    s->total = row_new(s, STR("TOTAL"));
    s->now = clock_seconds();
    return s;
}

void shape_free(struct shape *s)
{
    map_done(&s->rows);
    arena_free(s->arena);
    free(s);
}

/* Upper end of a bucket in minutes; the last one has none. */
static long limit_of(const struct shape_options *o, long bucket)
{
    if (o->linear)
        return o->minutes * (bucket + 1);
    return bucket > 40 ? LONG_MAX / 60 : o->minutes << bucket;
}

static long bucket_of(const struct shape *s, long arrival)
{
    long minutes = s->now > arrival ? (s->now - arrival) / 60 : 0, bucket = 0;

    while (bucket < s->o.buckets - 1 && minutes >= limit_of(&s->o, bucket))
        bucket++;
    return bucket;
}

static void add(struct row *r, long bucket)
{
    r->total++;
    r->by_age[bucket]++;
}

/* The row of this name; made when it is new. */
static struct row *row_of(struct shape *s, struct str name, bool *is_new)
{
    struct row *r = map_get(&s->rows, name);

    *is_new = r == NULL;
    if (r == NULL) {
        r = row_new(s, name);
        map_put(&s->rows, r->name, r);
    }
    return r;
}

/* ".example.com" for a.example.com and b.a.example.com; top-level domains are too coarse. */
static void add_parents(struct shape *s, struct str domain, long bucket, bool domain_is_new)
{
    for (ssize_t dot = str_index(domain, '.'); dot >= 0; dot = str_index(domain, '.')) {
        struct str parent = str_from(domain, (size_t)dot);
        struct row *r;
        bool is_new;
        domain = str_from(parent, 1);
        if (str_index(domain, '.') < 0)
            return;
        r = row_of(s, parent, &is_new);
        r->is_parent = true;
        r->subdomains += domain_is_new;
        add(r, bucket);
    }
}

static void add_address(struct shape *s, struct str address, long bucket)
{
    AUTO_ARENA a = arena_new(512);
    struct address_parts parts = address_split(address);
    struct str domain = address.n == 0   ? STR("MAILER-DAEMON")
                        : parts.domain.n ? arena_lower(a, parts.domain)
                                         : arena_lower(a, parts.local);
    bool is_new;

    add(s->total, bucket);
    add(row_of(s, domain, &is_new), bucket);
    if (s->o.parents && !address_domain_is_literal(domain))
        add_parents(s, domain, bucket, is_new);
}

void shape_count(struct shape *s, const struct queue_entry *e)
{
    long bucket = bucket_of(s, e->arrival);

    if (s->o.senders && !s->inside)
        add_address(s, e->sender, bucket);
    for (size_t i = 0; !s->o.senders && i < e->n_recipients; i++)
        add_address(s, e->recipients[i].address, bucket);
    s->inside = e->more;
    if (e->more)
        return;
    s->messages++;
    if (s->o.on_terminal && s->messages % s->o.batch == 0) {
        shape_print(s, stdout, (size_t)s->o.top);
        putchar('\n');
    }
}

/* ---- output ---- */
static int more_mail_first(const void *a, const void *b)
{
    const struct row *x = *(struct row *const *)a, *y = *(struct row *const *)b;

    if (x->total != y->total)
        return x->total < y->total ? 1 : -1;
    return str_cmp(x->name, y->name);
}

static const char *head_of(const struct shape *s, long bucket, char text[NUMBER_MAX])
{
    bool last = bucket == s->o.buckets - 1;

    snprintf(text, NUMBER_MAX, "%ld%s", limit_of(&s->o, last && bucket ? bucket - 1 : bucket),
             last ? "+" : "");
    return text;
}

/* Each column is as wide as its heading and its total need. */
static int width_of(const struct shape *s, long bucket)
{
    char head[NUMBER_MAX], total[NUMBER_MAX];
    int h, t;

    if (bucket < 0) {
        h = 1;
        t = snprintf(total, sizeof total, "%ld", s->total->total);
    } else {
        h = (int)strlen(head_of(s, bucket, head));
        t = snprintf(total, sizeof total, "%ld", s->total->by_age[bucket]);
    }
    return (h > t ? h : t) + 1;
}

/* Too long names lose their beginning. */
static void print_name(struct str name, int width, FILE *out)
{
    if ((int)name.n <= width)
        fprintf(out, "%*s" STR_FMT, width - (int)name.n, "", STR_ARG(name));
    else
        fprintf(out, "+" STR_FMT, STR_ARG(str_tail(name, (size_t)width - 1)));
}

static void print_row(const struct shape *s, const struct row *r, int name_width, FILE *out)
{
    print_name(r->name, name_width, out);
    fprintf(out, "%*ld", width_of(s, -1), r->total);
    for (long i = 0; i < s->o.buckets; i++)
        fprintf(out, "%*ld", width_of(s, i), r->by_age[i]);
    putc('\n', out);
}

static void print_head(const struct shape *s, int name_width, FILE *out)
{
    char head[NUMBER_MAX];

    fprintf(out, "%*s", name_width + width_of(s, -1), "T");
    for (long i = 0; i < s->o.buckets; i++)
        fprintf(out, "%*s", width_of(s, i), head_of(s, i, head));
    putc('\n', out);
}

void shape_print(struct shape *s, FILE *out, size_t most)
{
    struct row **rows = NEW_ARRAY(struct row *, s->rows.n + 1);
    int name_width = (int)s->o.width - width_of(s, -1);
    size_t n = 0;

    for (long i = 0; i < s->o.buckets; i++)
        name_width -= width_of(s, i);
    if (name_width < NAME_MIN)
        name_width = NAME_MIN;
    for (struct map_item *i = NULL; (i = map_next(&s->rows, i));) {
        struct row *r = i->value;
        if (!r->is_parent || r->subdomains >= s->o.min_subdomains)
            rows[n++] = r;
    }
    qsort(rows, n, sizeof(struct row *), more_mail_first);
    print_head(s, name_width, out);
    print_row(s, s->total, name_width, out);
    for (size_t i = 0; i < n && i < most; i++)
        print_row(s, rows[i], name_width, out);
    free(rows);
}
