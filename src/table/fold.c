#include "table/table.h"

/*
 * Unicode case folding (CaseFolding.txt, statuses C and F). casefold.def is made by
 * tools/gen-casefold; FOLD_RANGE(first, last, step, delta): each step-th code point from first to
 * last folds to itself plus delta. FOLD_TEXT(code, utf8): folds to several code points.
 */
struct fold_range {
    unsigned first, last, step;
    int delta;
};
struct fold_text {
    unsigned code;
    const char *utf8;
};

static const struct fold_range ranges[] = {
#define FOLD_RANGE(first, last, step, delta) {first, last, step, delta},
#define FOLD_TEXT(code, utf8)
#include "table/casefold.def"
#undef FOLD_RANGE
#undef FOLD_TEXT
};

static const struct fold_text texts[] = {
#define FOLD_RANGE(first, last, step, delta)
#define FOLD_TEXT(code, utf8) {code, utf8},
#include "table/casefold.def"
#undef FOLD_RANGE
#undef FOLD_TEXT
};

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static const char *fold_to_text(unsigned code)
{
    size_t low = 0, high = COUNT(texts);

    while (low < high) {
        size_t middle = (low + high) / 2;
        if (texts[middle].code == code)
            return texts[middle].utf8;
        if (texts[middle].code < code)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static unsigned fold_to_code(unsigned code)
{
    size_t low = 0, high = COUNT(ranges);

    while (low < high) { /* ranges do not overlap */
        size_t middle = (low + high) / 2;
        const struct fold_range *r = &ranges[middle];
        if (r->last < code)
            low = middle + 1;
        else if (r->first > code)
            high = middle;
        else
            return (code - r->first) % r->step == 0 ? (unsigned)((int)code + r->delta) : code;
    }
    return code;
}

/* The text is well-formed UTF-8. */
static size_t utf8_get(const unsigned char *p, unsigned *code)
{
    if (p[0] < 0x80)
        return *code = p[0], 1;
    if (p[0] < 0xe0)
        return *code = (p[0] & 31U) << 6 | (p[1] & 63U), 2;
    if (p[0] < 0xf0)
        return *code = (p[0] & 15U) << 12 | (p[1] & 63U) << 6 | (p[2] & 63U), 3;
    return *code = (p[0] & 7U) << 18 | (p[1] & 63U) << 12 | (p[2] & 63U) << 6 | (p[3] & 63U), 4;
}

static size_t utf8_put(char *p, unsigned code)
{
    if (code < 0x80)
        return p[0] = (char)code, 1;
    if (code < 0x800)
        return p[0] = (char)(0xc0 | code >> 6), p[1] = (char)(0x80 | (code & 63)), 2;
    if (code < 0x10000)
        return p[0] = (char)(0xe0 | code >> 12), p[1] = (char)(0x80 | (code >> 6 & 63)),
               p[2] = (char)(0x80 | (code & 63)), 3;
    return p[0] = (char)(0xf0 | code >> 18), p[1] = (char)(0x80 | (code >> 12 & 63)),
           p[2] = (char)(0x80 | (code >> 6 & 63)), p[3] = (char)(0x80 | (code & 63)), 4;
}

struct str fold_case(struct arena *a, struct str text, bool utf8)
{
    char *out;
    size_t n = 0;

    if (!utf8 || str_is_ascii(text) || !str_is_utf8(text))
        return arena_lower(a, text);
    out = arena_alloc(a, text.n * 3 + 1); /* no code point grows more than threefold */
    for (size_t i = 0; i < text.n;) {
        const char *several;
        unsigned code;
        i += utf8_get((const unsigned char *)text.p + i, &code);
        several = code >= 0x80 ? fold_to_text(code) : NULL;
        if (several) {
            memcpy(out + n, several, strlen(several));
            n += strlen(several);
        } else {
            n += utf8_put(out + n,
                          code < 0x80 ? (unsigned char)to_lower((char)code) : fold_to_code(code));
        }
    }
    return (struct str){out, n};
}
