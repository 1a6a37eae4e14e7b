#include "util/regex.h"

/*
 * The C library writes repeated parts out: "(((x+)+)+)+" takes twice the memory at each level. So
 * the size that an expression has when that is done is found out first. What is repeated within a
 * repetition takes it time that grows with the cube of the size, and with each level.
 */
enum { SIZE_LIMIT = 10000, NESTED_LIMIT = 500, LEVEL_LIMIT = 3, DEPTH_LIMIT = 64 };

struct sizing {
    double sum[DEPTH_LIMIT + 1]; /* of what stands in each open group */
    int level[DEPTH_LIMIT + 1];  /* repetitions within repetitions in it */
    double last;                 /* size of what a repetition would repeat */
    int last_level;
    bool over;
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
    s->last_level = 0;
    s->sum[s->depth] += size;
    s->over = s->over || s->sum[s->depth] > SIZE_LIMIT;
}

static void repeat(struct sizing *s, double times)
{
    s->sum[s->depth] += s->last * (times - 1);
    s->last *= times;
    s->over = s->over || s->sum[s->depth] > SIZE_LIMIT ||
              (s->last_level && s->last > NESTED_LIMIT) || s->last_level == LEVEL_LIMIT;
    s->last_level++;
    if (s->level[s->depth] < s->last_level)
        s->level[s->depth] = s->last_level;
}

static void open_group(struct sizing *s)
{
    s->over = s->over || s->depth == DEPTH_LIMIT;
    if (s->over)
        return;
    s->sum[++s->depth] = 0;
    s->level[s->depth] = 0;
}

static void close_group(struct sizing *s)
{
    double size = s->sum[s->depth];
    int level = s->level[s->depth];

    if (s->depth == 0)
        return;
    s->depth--;
    add(s, size < 1 ? 1 : size);
    s->last_level = level;
    if (s->level[s->depth] < level)
        s->level[s->depth] = level;
}

static bool is_small(struct str e)
{
    struct sizing s = {0};

    for (size_t i = 0; i < e.n && !s.over; i++) {
        double times = e.p[i] == '{' ? interval(e, &i) : 0;
        switch (e.p[i]) {
        case '\\':
            i++;
            add(&s, 1);
            break;
        case '[':
            i = skip_set(e, i);
            add(&s, 1);
            break;
        case '(': open_group(&s); break;
        case ')': close_group(&s); break;
        case '+': repeat(&s, 2); break;
        case '*':
        case '?': repeat(&s, 1); break;
        default:
            if (times > 0)
                repeat(&s, times);
            else
                add(&s, 1);
        }
    }
    return !s.over;
}

static void free_regex(void *regex)
{
    regfree(regex);
}

enum rc regex_compile(struct arena *a, struct str expression, const regex_t **out, struct why *why)
{
    regex_t *regex = arena_new_of(a, regex_t);
    char words[128];
    int code;

    if (!is_small(expression))
        return FAIL(why, RC_CONFIG,
                    "regular expression \"" STR_FMT "\" repeats too much; write it with fewer "
                    "repetitions within repetitions",
                    STR_ARG(expression));
    code = regcomp(regex, arena_text(a, expression), REG_EXTENDED | REG_ICASE | REG_NOSUB);
    if (code) {
        regerror(code, regex, words, sizeof words);
        return FAIL(why, RC_CONFIG, "bad regular expression \"" STR_FMT "\": %s; correct it",
                    STR_ARG(expression), words);
    }
    arena_defer(a, free_regex, regex);
    *out = regex;
    return RC_OK;
}
