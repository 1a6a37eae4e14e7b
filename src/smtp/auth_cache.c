#include <stdio.h>

#include "smtp/auth.h"

#ifdef HAVE_OPENSSL
#    include <openssl/evp.h>
#endif

#include "sasl/login.h"
#include "util/clock.h"

/* "host;user" to "time;digest;status;reply": of a login that was refused with 5xx. */
static struct str key_of(struct attempt *at, const struct session *s, const struct account *who)
{
    return arena_printf(at->arena, "%s;" STR_FMT, s->host, STR_ARG(who->username));
}

/* Another password deserves another try. The key is the salt. */
static struct str digest(struct attempt *at, struct str key, struct str password)
{
    struct str text = arena_printf(at->arena, STR_FMT ";" STR_FMT, STR_ARG(key), STR_ARG(password));
    struct str out;
#ifdef HAVE_OPENSSL
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned n = 0;

    EVP_Digest(text.p, text.n, bytes, &n, EVP_sha256(), NULL);
    out = login_encode(at->arena, (struct str){(const char *)bytes, n});
#else
    out = arena_printf(at->arena, "%016lx", str_hash(text));
#endif
    login_forget((char *)text.p, text.n);
    return out;
}

bool auth_failure_find(struct attempt *at, const struct session *s, const struct account *who,
                       struct dsn *dsn)
{
    struct table *failures = at->smtp->authentication->failures;
    struct str key, rest, stamp, mark, status;
    struct why why;
    long time;
    enum rc rc;

    if (failures == NULL || who->is_token)
        return false;
    key = key_of(at, s, who);
    rc = table_get(failures, key, at->arena, &rest, &why);
    if (rc == RC_TEMP)
        log_warning(&at->d->log,
                    "SASL auth failure map " STR_FMT ": lookup failed for " STR_FMT ": %s",
                    STR_ARG(table_name(failures)), STR_ARG(key), why.text);
    if (rc != RC_OK)
        return false;
    stamp = str_cut(&rest, ';');
    mark = str_cut(&rest, ';');
    status = str_cut(&rest, ';');
    if (rest.p == NULL || status.n == 0 || !str_to_long(stamp, 0, LONG_MAX, &time)) {
        log_warning(&at->d->log, "bad %s_sasl_auth_cache entry for " STR_FMT,
                    at->smtp->lmtp ? "lmtp" : "smtp", STR_ARG(key));
    } else if (time + at->smtp->set.sasl_auth_cache_time > clock_seconds() &&
               login_same_secret(mark, digest(at, key, who->password))) {
        *dsn =
            dsn_local(at, "5.7.8", "SASL [CACHED] authentication failed; server %s said: " STR_FMT,
                      s->where, STR_ARG(rest));
        dsn->status = arena_copy(at->arena, status);
        return true;
    }
    if (table_delete(failures, key, &why) == RC_TEMP)
        log_warning(&at->d->log, "SASL auth failure map " STR_FMT ": entry not deleted: %s",
                    STR_ARG(table_name(failures)), why.text);
    return false;
}

void auth_failure_keep(struct attempt *at, const struct session *s, const struct account *who,
                       const struct dsn *dsn, const char *words)
{
    struct table *failures = at->smtp->authentication->failures;
    struct str key, value;
    struct why why;

    if (failures == NULL || who->is_token)
        return;
    key = key_of(at, s, who);
    value = arena_printf(at->arena, "%ld;" STR_FMT ";" STR_FMT ";%s", (long)clock_seconds(),
                         STR_ARG(digest(at, key, who->password)), STR_ARG(dsn->status), words);
    if (table_put(failures, key, value, &why) != RC_OK)
        log_warning(&at->d->log, "SASL auth failure map " STR_FMT ": %s",
                    STR_ARG(table_name(failures)), why.text);
}
