/* Regular expressions of check rules. */
#include "access/rule.h"

/*
 * The C library writes repeated parts out: "(((x+)+)+)+" takes twice the memory at each level. So
 * the size that an expression has when that is done is found out first.
 */
enum { SIZE_LIMIT = 10000, DEPTH_LIMIT = 64 };

struct sizing {
    double sum[DEPTH_LIMIT + 1]; /* of what stands in each open group */
    double last;                 /* size of what a repetition would repeat */
    int depth;
};

/* Behind "[...]"; i: of the '['. */
static size_t skip_set(struct str e, size_t i)
{
    i += i + 1 < e.n && e.p[i + 1] == '^' ? 2 : 1;
    if (i < e.n && e.p[i] == ']')
        i++;
    while (i < e.n && e.p[i] != ']') {
        ssize_t end = i + 1 < e.n && e.p[i] == '[' && strchr(":.=", e.p[i + 1])
                          ? str_find(str_from(e, i + 2), STR("]"))
                          : -1;
        i += end < 0 ? 1 : (size_t)end + 3;
    }
    return i;
}

/* "{2,5}": how many at most. *i: moved to the '}'. 0: no repetition. */
static double interval(struct str e, size_t *i)
{
    ssize_t end = str_index(str_from(e, *i), '}');
    struct str second, first;
    long min = 0, max = 0;

    if (end < 0)
        return 0;
    second = (struct str){e.p + *i + 1, (size_t)end - 1};
    first = str_cut(&second, ',');
    if (!str_to_long(first, 0, 65535, &min) || (second.n && !str_to_long(second, 0, 65535, &max)))
        return 0;
    *i += (size_t)end;
    return (double)(max > min ? max : min + 1);
}

static void add(struct sizing *s, double size)
{
    s->last = size;
    s->sum[s->depth] += size;
}

static void repeat(struct sizing *s, double times)
{
    s->sum[s->depth] += s->last * (times - 1);
    s->last *= times;
}

static bool is_small(struct str e)
{
    struct sizing s = {0};

    for (size_t i = 0; i < e.n; i++) {
        double times = e.p[i] == '{' ? interval(e, &i) : 0;
        double inner = s.sum[s.depth];
        switch (e.p[i]) {
        case '\\':
            i++;
            add(&s, 1);
            break;
        case '[':
            i = skip_set(e, i);
            add(&s, 1);
            break;
        case '(':
            if (s.depth == DEPTH_LIMIT)
                return false;
            s.sum[++s.depth] = 0;
            break;
        case ')':
            if (s.depth == 0)
                break;
            s.depth--;
            add(&s, inner < 1 ? 1 : inner);
            break;
        case '+': repeat(&s, 2); break;
        case '*':
        case '?': break;
        default:
            if (times > 0)
                repeat(&s, times);
            else
                add(&s, 1);
        }
        if (s.sum[s.depth] > SIZE_LIMIT)
            return false;
    }
    return true;
}

static void free_regex(void *regex)
{
    regfree(regex);
}

enum rc parse_regex(struct arena *a, struct str text, struct text_pattern *out, struct why *why)
{
    struct str expression = arena_copy(a, (struct str){text.p + 1, text.n - 2});
    regex_t *regex = arena_new_of(a, regex_t);
    char words[128];
    int code;

    if (!is_small(expression))
        return FAIL(why, RC_CONFIG,
                    "regular expression \"" STR_FMT "\" repeats too much; write it with fewer "
                    "repetitions within repetitions",
                    STR_ARG(text));
    code = regcomp(regex, expression.p, REG_EXTENDED | REG_ICASE | REG_NOSUB);
    if (code) {
        regerror(code, regex, words, sizeof words);
        return FAIL(why, RC_CONFIG, "bad regular expression \"" STR_FMT "\": %s; correct it",
                    STR_ARG(text), words);
    }
    arena_defer(a, free_regex, regex);
    *out = (struct text_pattern){TEXT_REGEX, STR_NONE, regex};
    return RC_OK;
}
