#include "util/str.h"

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <strings.h>

bool str_eq_nocase(struct str a, struct str b)
{
    return a.n == b.n && str_cmp_nocase(a, b) == 0;
}

int str_cmp(struct str a, struct str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n ? memcmp(a.p, b.p, n) : 0;

    return order ? order : (a.n > b.n) - (a.n < b.n);
}

int str_cmp_nocase(struct str a, struct str b)
{
    size_t n = a.n < b.n ? a.n : b.n;

    for (size_t i = 0; i < n; i++) {
        unsigned char x = (unsigned char)to_lower(a.p[i]), y = (unsigned char)to_lower(b.p[i]);
        if (x != y)
            return x < y ? -1 : 1;
    }
    return (a.n > b.n) - (a.n < b.n);
}

bool str_has_prefix(struct str s, struct str prefix)
{
    return s.n >= prefix.n && str_eq(str_head(s, prefix.n), prefix);
}

bool str_has_prefix_nocase(struct str s, struct str prefix)
{
    return s.n >= prefix.n && str_eq_nocase(str_head(s, prefix.n), prefix);
}

bool str_has_suffix(struct str s, struct str suffix)
{
    return s.n >= suffix.n && str_eq(str_tail(s, suffix.n), suffix);
}

bool str_has_suffix_nocase(struct str s, struct str suffix)
{
    return s.n >= suffix.n && str_eq_nocase(str_tail(s, suffix.n), suffix);
}

ssize_t str_index(struct str s, char c)
{
    const char *at = s.n ? memchr(s.p, c, s.n) : NULL;

    return at ? at - s.p : -1;
}

ssize_t str_rindex(struct str s, char c)
{
    const char *at = s.n ? memrchr(s.p, c, s.n) : NULL;

    return at ? at - s.p : -1;
}

ssize_t str_index_any(struct str s, const char *set)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] != '\0' && strchr(set, s.p[i]))
            return (ssize_t)i;
    return -1;
}

ssize_t str_find(struct str s, struct str text)
{
    const char *at = s.n ? memmem(s.p, s.n, text.p, text.n) : NULL;

    return at ? at - s.p : (text.n == 0 ? 0 : -1);
}

ssize_t str_find_nocase(struct str s, struct str text)
{
    for (size_t i = 0; i + text.n <= s.n; i++)
        if (str_eq_nocase((struct str){s.p + i, text.n}, text))
            return (ssize_t)i;
    return -1;
}

/* Only the latest star has to be tried again. */
bool str_fits(struct str text, struct str pattern)
{
    size_t p = 0, t = 0, star = SIZE_MAX, mark = 0;

    while (t < text.n) {
        if (p < pattern.n && pattern.p[p] == '*') {
            star = p++;
            mark = t;
        } else if (p < pattern.n && to_lower(pattern.p[p]) == to_lower(text.p[t])) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++mark;
        } else {
            return false;
        }
    }
    while (p < pattern.n && pattern.p[p] == '*')
        p++;
    return p == pattern.n;
}

struct str str_from(struct str s, size_t start)
{
    if (start > s.n)
        start = s.n;
    return (struct str){s.p ? s.p + start : NULL, s.n - start};
}

struct str str_head(struct str s, size_t n)
{
    return (struct str){s.p, n < s.n ? n : s.n};
}

struct str str_tail(struct str s, size_t n)
{
    return str_from(s, n < s.n ? s.n - n : 0);
}

struct str str_ltrim(struct str s)
{
    while (s.n && is_white(s.p[0]))
        s.p++, s.n--;
    return s;
}

struct str str_rtrim(struct str s)
{
    while (s.n && is_white(s.p[s.n - 1]))
        s.n--;
    return s;
}

struct str str_trim(struct str s)
{
    return str_rtrim(str_ltrim(s));
}

struct str str_cut(struct str *rest, char separator)
{
    ssize_t at = str_index(*rest, separator);
    struct str head = *rest;

    if (at < 0) {
        *rest = STR_NONE;
        return head;
    }
    head.n = (size_t)at;
    *rest = str_from(*rest, head.n + 1);
    return head;
}

static bool is_in(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

static void skip_separators(struct str *rest, const char *separators)
{
    while (rest->n && is_in(rest->p[0], separators))
        rest->p++, rest->n--;
}

bool str_token(struct str *rest, const char *separators, struct str *token)
{
    ssize_t end;

    skip_separators(rest, separators);
    if (rest->n == 0)
        return false;
    end = str_index_any(*rest, separators);
    *token = str_head(*rest, end < 0 ? rest->n : (size_t)end);
    *rest = str_from(*rest, token->n);
    return true;
}

bool str_list_has(struct str list, struct str word)
{
    struct str token;

    while (str_token(&list, LIST_SEPARATORS, &token))
        if (str_eq(token, word))
            return true;
    return false;
}

bool str_list_has_nocase(struct str list, struct str word)
{
    struct str token;

    while (str_token(&list, LIST_SEPARATORS, &token))
        if (str_eq_nocase(token, word))
            return true;
    return false;
}

bool str_token_braced(struct str *rest, const char *separators, struct str *token)
{
    size_t i = 0;
    int depth = 0;

    skip_separators(rest, separators);
    if (rest->n == 0)
        return false;
    for (; i < rest->n; i++) {
        char c = rest->p[i];
        if (depth == 0 && is_in(c, separators))
            break;
        if (c == '{')
            depth++;
        else if (c == '}' && depth > 0)
            depth--;
    }
    *token = str_head(*rest, i);
    *rest = str_from(*rest, i);
    return true;
}

bool str_to_long(struct str s, long min, long max, long *out)
{
    bool negative = s.n && s.p[0] == '-';
    long value = 0;

    if (s.n && (s.p[0] == '-' || s.p[0] == '+'))
        s = str_from(s, 1);
    if (!str_is_digits(s))
        return false;
    for (size_t i = 0; i < s.n; i++) {
        int digit = s.p[i] - '0';
        if (__builtin_mul_overflow(value, 10L, &value) ||
            __builtin_add_overflow(value, negative ? -digit : digit, &value))
            return false;
    }
    if (value < min || value > max)
        return false;
    *out = value;
    return true;
}

bool str_is_digits(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!is_digit(s.p[i]))
            return false;
    return s.n > 0;
}

bool str_is_ascii(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] > 0x7f)
            return false;
    return true;
}

/* Length of the well-formed sequence at p, or 0. Ranges as in RFC 3629 section 4. */
static size_t utf8_sequence(const unsigned char *p, size_t n)
{
    unsigned char low = 0x80, high = 0xbf;
    size_t more;

    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    more = p[0] < 0xe0 ? 1 : p[0] < 0xf0 ? 2 : 3;
    if (p[0] == 0xe0)
        low = 0xa0;
    else if (p[0] == 0xed)
        high = 0x9f; /* no surrogates */
    else if (p[0] == 0xf0)
        low = 0x90;
    else if (p[0] == 0xf4)
        high = 0x8f;
    if (n <= more || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i <= more; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return more + 1;
}

bool str_is_utf8(struct str s)
{
    for (size_t i = 0, n; i < s.n; i += n)
        if ((n = utf8_sequence((const unsigned char *)s.p + i, s.n - i)) == 0)
            return false;
    return true;
}

void str_lower_bytes(char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = to_lower(p[i]);
}

void str_upper_bytes(char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = to_upper(p[i]);
}

unsigned long str_hash(struct str s)
{
    unsigned long h = 0xcbf29ce484222325UL;

    for (size_t i = 0; i < s.n; i++)
        h = (h ^ (unsigned char)s.p[i]) * 0x100000001b3UL;
    return h;
}

struct str str_vformat(char *storage, size_t size, const char *format, va_list args)
{
    int n = vsnprintf(storage, size, format, args);

    if (n < 0)
        return STR("");
    return (struct str){storage, (size_t)n < size ? (size_t)n : size - 1};
}
