/* Cipher grades and what is excluded from them. */
#include "config/config.h"
#include "tls/tls.h"

static bool find_grade(const struct config *c, struct str grade, struct str *list)
{
    const struct {
        struct str grade, list;
    } grades[] = {
        {STR("high"), c->tls_high_cipherlist}, {STR("medium"), c->tls_medium_cipherlist},
        {STR("low"), c->tls_low_cipherlist},   {STR("export"), c->tls_export_cipherlist},
        {STR("null"), c->tls_null_cipherlist},
    };

    for (size_t i = 0; i < sizeof grades / sizeof *grades; i++)
        if (str_eq_nocase(grade, grades[i].grade)) {
            /* today's OpenSSL has nothing of low and export grade: they mean medium */
            *list = grades[i].list.n ? grades[i].list : c->tls_medium_cipherlist;
            return true;
        }
    return false;
}

enum rc tls_cipher_list(const struct config *config, struct str grade, struct str excluded,
                        struct arena *a, const char **out, struct why *why)
{
    struct str list, word;

    if (!find_grade(config, grade, &list))
        return FAIL(why, RC_CONFIG,
                    "unknown cipher grade \"" STR_FMT "\"; use high, medium, low, export or null",
                    STR_ARG(grade));
    while (str_token(&excluded, LIST_SEPARATORS ":", &word)) {
        if (str_index_any(word, "!-@") == 0 || str_index(word, '@') >= 0)
            return FAIL(why, RC_CONFIG,
                        "bad name of an excluded cipher \"" STR_FMT "\"; give names only",
                        STR_ARG(word));
        list = arena_printf(a, STR_FMT ":!" STR_FMT, STR_ARG(list), STR_ARG(word));
    }
    *out = arena_text(a, list);
    return RC_OK;
}
