#include "table/base64.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

struct str base64_encode(struct arena *a, struct str bytes)
{
    const unsigned char *p = (const unsigned char *)bytes.p;
    char *out = arena_alloc(a, (bytes.n + 2) / 3 * 4 + 1);
    size_t n = 0;

    for (size_t i = 0; i < bytes.n; i += 3) {
        size_t left = bytes.n - i;
        unsigned long v = (unsigned long)p[i] << 16;
        if (left > 1)
            v |= (unsigned long)p[i + 1] << 8;
        if (left > 2)
            v |= p[i + 2];
        out[n++] = digits[v >> 18];
        out[n++] = digits[v >> 12 & 63];
        out[n++] = left > 1 ? digits[v >> 6 & 63] : '=';
        out[n++] = left > 2 ? digits[v & 63] : '=';
    }
    return (struct str){out, n};
}

enum rc base64_decode(struct arena *a, struct str text, struct str *bytes, struct why *why)
{
    char *out = arena_alloc(a, text.n / 4 * 3 + 4);
    size_t n = 0, have = 0, pads = 0;
    unsigned long v = 0;

    for (size_t i = 0; i < text.n; i++) {
        const char *at = text.p[i] ? strchr(digits, text.p[i]) : NULL;
        if (is_white(text.p[i]))
            continue;
        if (text.p[i] == '=' && have + pads >= 2 && have + pads < 4) {
            pads++;
            continue;
        }
        if (at == NULL || pads)
            return FAIL(why, RC_PERM, "malformed base64");
        v = v << 6 | (unsigned long)(at - digits);
        if (++have == 4) {
            out[n++] = (char)(v >> 16);
            out[n++] = (char)(v >> 8);
            out[n++] = (char)v;
            v = have = 0;
        }
    }
    if (have == 1 || (have != 0 && have + pads != 4) || (have == 0 && pads))
        return FAIL(why, RC_PERM, "malformed base64");
    if (have >= 2)
        out[n++] = (char)(v >> (have == 2 ? 4 : 10));
    if (have == 3)
        out[n++] = (char)(v >> 2);
    *bytes = (struct str){out, n};
    return RC_OK;
}
