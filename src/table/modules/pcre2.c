/* pcre: Perl-compatible regular expressions, with JIT where PCRE2 has it; pcre_table(5). */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "table/driver.h"
#include "table/rules.h"

struct pattern {
    pcre2_code *code;
    unsigned groups;
};

static void free_pattern(void *p)
{
    pcre2_code_free(((struct pattern *)p)->code);
}

/* Each letter toggles: i and s are on at first. */
static enum rc parse_flags(struct str flags, uint32_t *options, struct why *why)
{
    uint32_t o = PCRE2_CASELESS | PCRE2_DOTALL;

    for (size_t i = 0; i < flags.n; i++)
        switch (flags.p[i]) {
        case 'i': o ^= PCRE2_CASELESS; break;
        case 'm': o ^= PCRE2_MULTILINE; break;
        case 's': o ^= PCRE2_DOTALL; break;
        case 'x': o ^= PCRE2_EXTENDED; break;
        case 'A': o ^= PCRE2_ANCHORED; break;
        case 'E': o ^= PCRE2_DOLLAR_ENDONLY; break;
        case 'U': o ^= PCRE2_UNGREEDY; break;
        case 'X': break; /* PCRE2 always refuses unknown escapes */
        default:
            return FAIL(why, RC_PERM, "unknown regexp option \"%c\": skipping this rule",
                        flags.p[i]);
        }
    *options = o;
    return RC_OK;
}

static enum rc pcre_compile_rule(struct str pattern, struct str flags, int groups_wanted,
                                 struct arena *a, void **compiled, int *groups, struct why *why)
{
    struct pattern *p = arena_new_of(a, struct pattern);
    uint32_t options, found = 0;
    size_t offset;
    int error;

    (void)groups_wanted;
    TRY(parse_flags(flags, &options, why));
    p->code = pcre2_compile((PCRE2_SPTR)pattern.p, pattern.n, options, &error, &offset, NULL);
    if (p->code == NULL) {
        PCRE2_UCHAR text[256];
        pcre2_get_error_message(error, text, sizeof text);
        return FAIL(why, RC_PERM, "error in regex at offset %zu: %s", offset, (char *)text);
    }
    arena_defer(a, free_pattern, p);
    pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE); /* without JIT it is interpreted */
    pcre2_pattern_info(p->code, PCRE2_INFO_CAPTURECOUNT, &found);
    p->groups = found;
    *groups = (int)found;
    *compiled = p;
    return RC_OK;
}

/* The match data is made for each call: an allocation of some 100 bytes, nothing that threads
 * share. */
static enum rc pcre_match_rule(const void *compiled, struct str text, struct rule_span *spans,
                               size_t n, struct why *why)
{
    const struct pattern *p = compiled;
    pcre2_match_data *data = pcre2_match_data_create(n ? (uint32_t)n : 1, NULL);
    int code;

    if (data == NULL)
        return FAIL(why, RC_TEMP, "out of memory");
    code = pcre2_match(p->code, (PCRE2_SPTR)(text.p ? text.p : ""), text.n, 0, 0, data, NULL);
    if (code == PCRE2_ERROR_JIT_STACKLIMIT) /* its stack is 32 KiB; the interpreter uses the heap */
        code = pcre2_match(p->code, (PCRE2_SPTR)(text.p ? text.p : ""), text.n, 0, PCRE2_NO_JIT,
                           data, NULL);
    for (size_t i = 0; code >= 0 && i < n; i++) {
        const size_t *place = pcre2_get_ovector_pointer(data) + 2 * i;
        bool set = place[0] != PCRE2_UNSET;
        spans[i] = set ? (struct rule_span){(ssize_t)place[0], (ssize_t)place[1]}
                       : (struct rule_span){-1, -1};
    }
    pcre2_match_data_free(data);
    if (code >= 0)
        return RC_OK;
    if (code == PCRE2_ERROR_NOMATCH)
        return RC_NONE;
    if (code == PCRE2_ERROR_MATCHLIMIT || code == PCRE2_ERROR_RECURSIONLIMIT)
        return FAIL(why, RC_TEMP, "backtracking limit exceeded for \"" STR_FMT "\"",
                    STR_ARG(str_head(text, 100)));
    return FAIL(why, RC_TEMP, "matching error %d", code);
}

static const struct rule_language language = {
    .type = "pcre", .compile = pcre_compile_rule, .match = pcre_match_rule};

static enum rc pcre_open(struct driver_open *o, struct why *why)
{
    return rules_open(&language, o, why);
}

static enum rc pcre_get(void *state, struct str key, struct arena *a, struct str *value,
                        struct why *why)
{
    return rules_get(state, key, a, value, why);
}

MODULE_EXPORT extern const struct table_driver table_driver_pcre;
const struct table_driver table_driver_pcre = {
    .type = "pcre",
    .flags = DRIVER_WHOLE | DRIVER_THREADS | DRIVER_SUBSTITUTES,
    .open = pcre_open,
    .get = pcre_get,
};
