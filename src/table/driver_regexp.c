/* regexp: POSIX regular expressions of the C library; regexp_table(5). */
#include <regex.h>

#include "table/driver.h"
#include "table/rules.h"

static void free_regex(void *regex)
{
    regfree(regex);
}

/* Each letter toggles: i and x are on at first. */
static enum rc parse_flags(struct str flags, int *cflags, struct why *why)
{
    int f = REG_EXTENDED | REG_ICASE;

    for (size_t i = 0; i < flags.n; i++)
        switch (flags.p[i]) {
        case 'i': f ^= REG_ICASE; break;
        case 'm': f ^= REG_NEWLINE; break;
        case 'x': f ^= REG_EXTENDED; break;
        default:
            return FAIL(why, RC_PERM, "unknown regexp option \"%c\": skipping this rule",
                        flags.p[i]);
        }
    *cflags = f;
    return RC_OK;
}

static enum rc regexp_compile(struct str pattern, struct str flags, int groups_wanted,
                              struct arena *a, void **compiled, int *groups, struct why *why)
{
    regex_t *regex = arena_new_of(a, regex_t);
    int cflags, error;

    TRY(parse_flags(flags, &cflags, why));
    error = regcomp(regex, arena_text(a, pattern), cflags | (groups_wanted < 0 ? REG_NOSUB : 0));
    if (error) {
        char text[256];
        regerror(error, regex, text, sizeof text);
        return FAIL(why, RC_PERM, "%s", text);
    }
    arena_defer(a, free_regex, regex);
    *groups = (int)regex->re_nsub;
    *compiled = regex;
    return RC_OK;
}

static enum rc regexp_match(const void *compiled, struct str text, struct rule_span *spans,
                            size_t n, struct why *why)
{
    regmatch_t all = {.rm_so = 0, .rm_eo = (regoff_t)text.n}, few[10], *groups = few;
    AUTO_ARENA a = NULL;
    int error;

    if (n > 10) {
        a = arena_new(n * sizeof *groups);
        groups = arena_array(a, regmatch_t, n);
    }
    groups[0] = all;
    error = regexec(compiled, text.p ? text.p : "", n, groups, REG_STARTEND);
    if (error == REG_NOMATCH)
        return RC_NONE;
    if (error) {
        char words[256];
        regerror(error, compiled, words, sizeof words);
        return FAIL(why, RC_TEMP, "%s", words);
    }
    for (size_t i = 0; i < n; i++)
        spans[i] = (struct rule_span){groups[i].rm_so, groups[i].rm_eo};
    return RC_OK;
}

static const struct rule_language language = {
    .type = "regexp", .compile = regexp_compile, .match = regexp_match};

static enum rc regexp_open(struct driver_open *o, struct why *why)
{
    return rules_open(&language, o, why);
}

static enum rc regexp_get(void *state, struct str key, struct arena *a, struct str *value,
                          struct why *why)
{
    return rules_get(state, key, a, value, why);
}

const struct table_driver table_driver_regexp = {
    .type = "regexp",
    .flags = DRIVER_WHOLE | DRIVER_THREADS | DRIVER_SUBSTITUTES,
    .open = regexp_open,
    .get = regexp_get,
};
