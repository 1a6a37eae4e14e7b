/* Address lists in header fields (RFC 5322 3.4 and the obsolete forms of 4.4). */
#include "global/address.h"
#include "util/buf.h"

enum { LIST_TEXT_MAX = 16 * 1024 * 1024 };

struct list {
    struct arena *arena;
    struct str in;
    size_t at;
    VEC(struct header_address) found;
    size_t first; /* of the found ones that belong to the element being read */

    /* the address being read */
    char *out;
    size_t n;
    size_t start, end;
    bool open;       /* something was read */
    bool after_word; /* so the next word after a blank is another one */
};

static bool is_special(char c)
{
    return memchr("()<>[]:;@,.\"", c, 12) != NULL;
}

static enum rc skip_comment(struct list *l, struct why *why)
{
    int depth = 0;

    for (; l->at < l->in.n; l->at++) {
        char c = l->in.p[l->at];
        if (c == '\\') {
            l->at++;
        } else if (c == '(') {
            depth++;
        } else if (c == ')' && --depth == 0) {
            l->at++;
            return RC_OK;
        }
    }
    return FAIL(why, RC_PERM, "unterminated comment in an address list");
}

static void begin(struct list *l)
{
    if (l->open)
        return;
    l->open = true;
    l->start = l->at;
    l->out += l->n; /* no byte is copied twice: one buffer is enough for all */
    l->n = 0;
}

static void forget(struct list *l)
{
    l->open = l->after_word = false;
}

static void finish(struct list *l)
{
    if (l->open && l->n)
        vec_add(l->arena, &l->found, ((struct header_address){{l->out, l->n}, l->start, l->end}));
    forget(l);
}

/* Several words without a comma: each one an address when all have a domain, else just words. */
static void finish_element(struct list *l)
{
    finish(l);
    if (l->found.n - l->first > 1)
        for (size_t i = l->first; i < l->found.n; i++)
            if (str_index(l->found.v[i].address, '@') < 0) {
                l->found.n = l->first;
                break;
            }
    l->first = l->found.n;
}

static enum rc read_enclosed(struct list *l, char close, bool keep, struct why *why)
{
    if (keep)
        l->out[l->n++] = l->in.p[l->at];
    for (l->at++; l->at < l->in.n; l->at++) {
        char c = l->in.p[l->at];
        if (c == close) {
            if (keep)
                l->out[l->n++] = c;
            l->at++;
            return RC_OK;
        }
        if (c == '\\' && l->at + 1 < l->in.n)
            c = l->in.p[++l->at];
        if (c != '\n')
            l->out[l->n++] = c;
    }
    return FAIL(why, RC_PERM, "unterminated %c in an address list", close);
}

static enum rc read_word(struct list *l, struct why *why)
{
    begin(l);
    if (l->in.p[l->at] == '"')
        return read_enclosed(l, '"', false, why);
    if (l->in.p[l->at] == '[')
        return read_enclosed(l, ']', true, why);
    while (l->at < l->in.n && !is_white(l->in.p[l->at]) && !is_special(l->in.p[l->at])) {
        if (l->in.p[l->at] == '\\' && l->at + 1 < l->in.n)
            l->at++;
        l->out[l->n++] = l->in.p[l->at++];
    }
    return RC_OK;
}

static void read_joint(struct list *l) /* '.' or '@' */
{
    begin(l);
    l->out[l->n++] = l->in.p[l->at++];
    l->end = l->at;
    l->after_word = false;
}

/* "@a,@b:" in front of an address in brackets */
static void skip_route(struct list *l)
{
    struct str rest = str_from(l->in, l->at);
    ssize_t close = str_index(rest, '>'), colon = str_index(rest, ':');

    if (rest.n && rest.p[0] == '@' && colon > 0 && colon < close)
        l->at += (size_t)colon + 1;
}

static enum rc read_angle(struct list *l, struct why *why)
{
    size_t start;

    l->found.n = l->first; /* what was read is the phrase */
    forget(l);
    start = ++l->at;
    skip_route(l);
    while (l->at < l->in.n) {
        char c = l->in.p[l->at];
        if (c == '>') {
            if (l->open)
                l->start = start;
            l->at++;
            finish(l);
            return RC_OK;
        }
        if (c == '(') {
            TRY(skip_comment(l, why));
        } else if (is_white(c)) {
            l->at++;
        } else if (memchr("@.,:;<)]", c, 8)) {
            read_joint(l); /* wrong ones stay part of the address, as whoever sent it wants it */
        } else {
            TRY(read_word(l, why));
            l->end = l->at;
        }
    }
    return FAIL(why, RC_PERM, "unterminated < in an address list");
}

static enum rc read_one(struct list *l, struct why *why)
{
    char c = l->in.p[l->at];

    if (is_white(c)) {
        l->at++;
        return RC_OK;
    }
    switch (c) {
    case '(': return skip_comment(l, why);
    case '<': TRY(read_angle(l, why)); return RC_OK;
    case ':': /* the name of a group stood in front */
        l->found.n = l->first;
        forget(l);
        l->at++;
        return RC_OK;
    case ',':
    case ';':
        finish_element(l);
        l->at++;
        return RC_OK;
    case '@':
    case '.': read_joint(l); return RC_OK;
    case '>':
    case ')':
    case ']': l->at++; return RC_OK;
    default:
        if (l->after_word && is_white(l->in.p[l->at - 1]))
            finish(l);
        TRY(read_word(l, why));
        l->end = l->at;
        l->after_word = true;
        return RC_OK;
    }
}

enum rc address_list_parse(struct str field_body, struct arena *a, struct header_address **list,
                           size_t *n, struct why *why)
{
    struct list l = {.arena = a, .in = field_body};

    l.out = arena_alloc(a, field_body.n + 1);
    while (l.at < l.in.n)
        TRY(read_one(&l, why));
    finish_element(&l);
    *list = l.found.v;
    *n = l.found.n;
    return RC_OK;
}

enum rc address_list_rewrite(struct str field_body,
                             enum rc (*change)(void *context, struct str address, struct arena *a,
                                               struct str *out, struct why *why),
                             void *context, struct arena *a, struct str *out, struct why *why)
{
    struct header_address *list;
    struct str *changed;
    size_t n, bytes = field_body.n, copied = 0, at = 0, n_changed = 0;
    char *p;

    TRY(address_list_parse(field_body, a, &list, &n, why));
    if (n == 0)
        return RC_NONE;
    changed = arena_array(a, struct str, n);
    for (size_t i = 0; i < n; i++) {
        enum rc rc = change(context, list[i].address, a, &changed[i], why);
        if (rc != RC_OK && rc != RC_NONE)
            return rc;
        if (rc == RC_NONE || str_eq(changed[i], list[i].address)) {
            changed[i] = STR_NONE;
        } else {
            changed[i] = address_quote_822(a, changed[i]);
            bytes += changed[i].n;
            n_changed++;
        }
    }
    if (n_changed == 0)
        return RC_NONE;
    if (bytes > LIST_TEXT_MAX)
        return FAIL(why, RC_PERM, "address list is longer than %d bytes", LIST_TEXT_MAX);
    p = arena_alloc(a, bytes + 1);
    for (size_t i = 0; i < n; i++) {
        if (changed[i].p == NULL)
            continue;
        memcpy(p + at, field_body.p + copied, list[i].start - copied);
        at += list[i].start - copied;
        memcpy(p + at, changed[i].p, changed[i].n);
        at += changed[i].n;
        copied = list[i].end;
    }
    memcpy(p + at, field_body.p + copied, field_body.n - copied);
    *out = (struct str){p, at + field_body.n - copied};
    return RC_OK;
}

static size_t comment_end(struct str s, size_t at)
{
    for (int depth = 0; at < s.n; at++) {
        if (s.p[at] == '\\')
            at++;
        else if (s.p[at] == '(')
            depth++;
        else if (s.p[at] == ')' && --depth == 0)
            return at + 1;
    }
    return s.n;
}

static size_t enclosed_end(struct str s, size_t at, char close)
{
    for (at++; at < s.n; at++) {
        if (s.p[at] == '\\')
            at++;
        else if (s.p[at] == close)
            return at + 1;
    }
    return s.n;
}

/* Where the token ends that begins there. */
static size_t token_end(struct str s, size_t at)
{
    switch (s.p[at]) {
    case '(': return comment_end(s, at);
    case '"': return enclosed_end(s, at, '"');
    case '[': return enclosed_end(s, at, ']');
    default: break;
    }
    if (is_special(s.p[at]))
        return at + 1;
    for (; at < s.n && !is_white(s.p[at]) && !is_special(s.p[at]); at++)
        if (s.p[at] == '\\')
            at++;
    return at < s.n ? at : s.n;
}

struct str address_list_limit(struct str field_body, long tokens)
{
    size_t at = 0, comma = 0;

    while (at < field_body.n) {
        if (is_white(field_body.p[at])) {
            at++;
            continue;
        }
        if (tokens-- <= 0)
            return str_head(field_body, comma ? comma : at);
        if (field_body.p[at] == ',')
            comma = at;
        at = token_end(field_body, at);
    }
    return field_body;
}
