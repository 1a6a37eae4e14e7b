/*
 * struct str: bytes that somebody else owns. By value; no NUL promised; may hold NUL.
 *
 * "nocase" means ASCII case; mail protocols compare keywords so (RFC 5321 2.4). Unicode folding
 * lives in table/.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/types.h>

struct str {
    const char *p;
    size_t n;
};

#define STR(literal) ((struct str){"" literal, sizeof(literal) - 1})
#define STR_INIT(literal)                                                                          \
    {                                                                                              \
        "" literal, sizeof(literal) - 1                                                            \
    } /* in static tables */
#define STR_NONE   ((struct str){NULL, 0})
#define STR_FMT    "%.*s"
#define STR_ARG(s) (int)(s).n, (s).p

static inline struct str str_of(const char *text) /* NULL gives STR_NONE */
{
    return (struct str){text, text ? strlen(text) : 0};
}

static inline bool str_eq(struct str a, struct str b)
{
    /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker) */
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool str_eq_nocase(struct str a, struct str b);
int str_cmp(struct str a, struct str b); /* byte order, shorter first */
int str_cmp_nocase(struct str a, struct str b);
bool str_has_prefix(struct str s, struct str prefix);
bool str_has_prefix_nocase(struct str s, struct str prefix);
bool str_has_suffix(struct str s, struct str suffix);
bool str_has_suffix_nocase(struct str s, struct str suffix);

/* Index of the first (last) byte c, or -1. */
ssize_t str_index(struct str s, char c);
ssize_t str_rindex(struct str s, char c);

/* Index of the first of the bytes in set, or -1. */
ssize_t str_index_any(struct str s, const char *set);

/* Index of text within s, or -1. */
ssize_t str_find(struct str s, struct str text);
ssize_t str_find_nocase(struct str s, struct str text);

/* Does text fit a pattern in which each '*' stands for any bytes, also none? Case is ignored. */
bool str_fits(struct str text, struct str pattern);

/* Views; offsets beyond the end give what there is. */
struct str str_from(struct str s, size_t start);
struct str str_head(struct str s, size_t n);
struct str str_tail(struct str s, size_t n); /* the last n bytes */

/* Without blanks (space, tab, CR, LF, VT, FF) at both ends / at the left / at the right. */
struct str str_trim(struct str s);
struct str str_ltrim(struct str s);
struct str str_rtrim(struct str s);

/*
 * Take what stands before the first separator and move *rest behind it. Without separator:
 * all of it, and *rest becomes empty with p == NULL.
 */
struct str str_cut(struct str *rest, char separator);

/* Next piece between separators, skipping empty pieces. False at the end. */
bool str_token(struct str *rest, const char *separators, struct str *token);

/* Is word one of the pieces between LIST_SEPARATORS? */
bool str_list_has(struct str list, struct str word);
bool str_list_has_nocase(struct str list, struct str word);

/* As str_token, but { } keep a piece with blanks together (outer braces stay on). */
bool str_token_braced(struct str *rest, const char *separators, struct str *token);

/* Separators of Postfix lists: comma and white space. */
#define LIST_SEPARATORS ", \t\r\n"

/* Decimal number, optional sign, nothing else. False when malformed or out of range. */
bool str_to_long(struct str s, long min, long max, long *out);
bool str_is_digits(struct str s); /* not empty and only 0-9 */
bool str_is_ascii(struct str s);
bool str_is_utf8(struct str s); /* well-formed UTF-8 (RFC 3629), ASCII included */

/* Case change in place, ASCII only. */
void str_lower_bytes(char *p, size_t n);
void str_upper_bytes(char *p, size_t n);

/* FNV-1a, 64 bit. */
unsigned long str_hash(struct str s);

/* Formatted into the caller's storage; what does not fit is cut off. */
struct str str_vformat(char *storage, size_t size, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));

static inline bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}
static inline bool is_white(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}
static inline bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}
static inline bool is_alpha(char c)
{
    return (c | 32) >= 'a' && (c | 32) <= 'z';
}
static inline bool is_alnum(char c)
{
    return is_digit(c) || is_alpha(c);
}
static inline char to_lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c | 32 : c);
}
static inline char to_upper(char c)
{
    return (char)(c >= 'a' && c <= 'z' ? c & ~32 : c);
}
