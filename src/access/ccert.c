/* Restrictions that look at the client's certificate, by the fingerprints of it and of its key. */
#include "access/restrictions.h"
#include "config/config.h"
#include "tls/tls.h"

/* In relay_clientcerts; whether somebody has signed the certificate does not matter. */
enum verdict permit_tls_clientcerts(struct access_context *c, const struct step *s)
{
    const struct tls_session *t = c->tls;
    struct str value;
    struct why why;
    enum rc rc;

    (void)s;
    if (t == NULL || !t->has_certificate || maps_empty(c->access->relay_clientcerts))
        return DUNNO;
    rc = maps_get(c->access->relay_clientcerts, t->fingerprint, c->arena, &value, &why);
    if (rc == RC_NONE)
        rc = maps_get(c->access->relay_clientcerts, t->key_fingerprint, c->arena, &value, &why);
    if (rc == RC_OK || rc == RC_NONE)
        return rc == RC_OK ? PERMIT : DUNNO;
    log_warning(c->log, "relay_clientcerts: lookup error for \"" STR_FMT "\": %s",
                STR_ARG(t->fingerprint), why.text);
    return refuse_trouble(c, t->fingerprint, CLASS_CCERT);
}

enum verdict permit_tls_all_clientcerts(struct access_context *c, const struct step *s)
{
    (void)s;
    return c->tls && c->tls->trust >= TLS_TRUSTED ? PERMIT : DUNNO;
}

enum verdict check_ccert_access(struct access_context *c, const struct step *s)
{
    const struct tls_session *t = c->tls;
    enum verdict v = DUNNO;

    for (size_t i = 0; t && t->has_certificate && i < sizeof s->ccert_order; i++) {
        struct str key = s->ccert_order[i] == CCERT_FINGERPRINT       ? t->fingerprint
                         : s->ccert_order[i] == CCERT_KEY_FINGERPRINT ? t->key_fingerprint
                                                                      : STR_NONE;
        if (key.n && try_key(c, s->table, key, key, CLASS_CCERT, &v) != RC_NONE)
            return v;
    }
    return DUNNO;
}

/* ---- { type:name, { search_order = cert_fingerprint, pubkey_fingerprint } } ---- */

static bool unbrace(struct str *text)
{
    *text = str_trim(*text);
    if (text->n < 2 || text->p[0] != '{' || text->p[text->n - 1] != '}')
        return false;
    *text = str_trim((struct str){text->p + 1, text->n - 2});
    return true;
}

static enum rc parse_order(struct str list, unsigned char order[2], struct why *why)
{
    struct str word;
    size_t n = 0;

    order[0] = order[1] = CCERT_NOTHING;
    while (str_token(&list, LIST_SEPARATORS, &word)) {
        unsigned char key = str_eq_nocase(word, STR("cert_fingerprint"))     ? CCERT_FINGERPRINT
                            : str_eq_nocase(word, STR("pubkey_fingerprint")) ? CCERT_KEY_FINGERPRINT
                                                                             : CCERT_NOTHING;
        if (key == CCERT_NOTHING || n == 2)
            return FAIL(why, RC_CONFIG,
                        "search_order: unexpected \"" STR_FMT
                        "\"; use cert_fingerprint, pubkey_fingerprint",
                        STR_ARG(word));
        order[n++] = key;
    }
    return n ? RC_OK : FAIL(why, RC_CONFIG, "search_order names nothing");
}

enum rc ccert_compile(struct str text, struct str *table, unsigned char order[2], struct why *why)
{
    struct str rest = text, option;

    order[0] = CCERT_FINGERPRINT;
    order[1] = CCERT_KEY_FINGERPRINT;
    *table = text;
    if (!unbrace(&rest))
        return RC_OK;
    if (!str_token_braced(&rest, LIST_SEPARATORS, table))
        return FAIL(why, RC_CONFIG, "no table in \"" STR_FMT "\"", STR_ARG(text));
    while (str_token_braced(&rest, LIST_SEPARATORS, &option)) {
        struct str value = option, name;
        if (!unbrace(&value))
            return FAIL(why, RC_CONFIG, "\"" STR_FMT "\": write { search_order = ... }",
                        STR_ARG(option));
        name = str_trim(str_cut(&value, '='));
        if (!str_eq_nocase(name, STR("search_order")))
            return FAIL(why, RC_CONFIG, "unknown option \"" STR_FMT "\"; known: search_order",
                        STR_ARG(name));
        TRY(parse_order(value, order, why));
    }
    return RC_OK;
}
