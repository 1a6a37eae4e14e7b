#include "smtp/requiretls.h"

struct step {
    struct maps *maps; /* NULL: the word decides */
    enum requiretls word;
};

struct requiretls_policy {
    VEC(struct step) steps;
};

static bool parse_word(struct str text, enum requiretls *out)
{
    static const char *const words[] = {
        [REQUIRETLS_ENFORCE] = "enforce",
        [REQUIRETLS_STARTTLS] = "opportunistic+starttls",
        [REQUIRETLS_TRY] = "opportunistic",
        [REQUIRETLS_IGNORE] = "disable",
    };

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (str_eq_nocase(str_trim(text), str_of(words[i]))) {
            *out = (enum requiretls)i;
            return true;
        }
    return false;
}

enum rc requiretls_open(struct smtp *s, struct requiretls_policy **out, struct why *why)
{
    struct requiretls_policy *p = arena_new_of(s->arena, struct requiretls_policy);
    const char *parameter = s->lmtp ? "lmtp_requiretls_policy" : "smtp_requiretls_policy";
    struct table_env env = {.config = s->config, .log = &s->log};
    struct str list = s->set.requiretls_policy, item;

    while (str_token_braced(&list, LIST_SEPARATORS, &item)) {
        struct step step = {0};
        if (str_index(item, ':') > 0)
            TRY(maps_open(parameter, item, 0, &env, &step.maps, why));
        else if (!parse_word(item, &step.word))
            return FAIL(why, RC_CONFIG,
                        "%s: \"" STR_FMT "\" is none of: enforce, opportunistic+starttls, "
                        "opportunistic, disable, type:table",
                        parameter, STR_ARG(item));
        vec_add(s->arena, &p->steps, step);
    }
    *out = p;
    return RC_OK;
}

/* The host, then its parent domains with a dot in front. */
static enum rc look_up(struct maps *maps, struct str host, struct arena *a, struct str *value,
                       struct why *why)
{
    enum rc rc = maps_get(maps, host, a, value, why);
    struct addr literal;

    if (addr_parse(host, 0, &literal, NULL) == RC_OK)
        return rc;
    while (rc == RC_NONE && host.n) {
        ssize_t dot = str_index(str_from(host, 1), '.');
        host = dot < 0 ? STR("") : str_from(host, (size_t)dot + 1);
        if (host.n)
            rc = maps_get_fixed(maps, host, a, value, why);
    }
    return rc;
}

enum requiretls requiretls_for(struct smtp *s, struct str host, struct arena *a)
{
    const struct requiretls_policy *p = s->requiretls;

    for (size_t i = 0; i < p->steps.n; i++) {
        const struct step *step = &p->steps.v[i];
        enum requiretls word = step->word;
        struct str value;
        struct why why;
        enum rc rc;
        if (step->maps == NULL)
            return word;
        rc = look_up(step->maps, arena_lower(a, host), a, &value, &why);
        if (rc == RC_NONE)
            continue;
        if (rc == RC_OK && parse_word(value, &word))
            return word;
        log_warning(&s->log, "%s_requiretls_policy for " STR_FMT ": %s", s->lmtp ? "lmtp" : "smtp",
                    STR_ARG(host), rc == RC_OK ? "unknown word in the table" : why.text);
        return REQUIRETLS_ENFORCE;
    }
    return REQUIRETLS_ENFORCE;
}
