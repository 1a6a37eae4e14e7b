#include "auth/srs.h"

#include <string.h>

#ifdef HAVE_OPENSSL
#    include <openssl/evp.h>
#    include <openssl/hmac.h>
#endif

#include "config/config.h"
#include "global/address.h"
#include "util/buf.h"

enum {
    HASH_CHARS = 4,
    DAY_SECONDS = 24 * 60 * 60,
    DAYS_ROUND = 1024, /* two digits of base 32 */
    DIGEST_BYTES = 20,
    LOCAL_MAX = 512,
};

static const char base32[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

struct srs {
    struct arena *arena;
    struct str domain;
    VEC(struct str) secrets; /* the first signs */
    long lifetime_days;
};

void srs_close(struct srs *s)
{
    if (s)
        arena_free(s->arena);
}

enum rc srs_open(const struct config *config, struct srs **out, struct why *why)
{
    struct str rest = config->srs_secrets, word;
    struct arena *a;
    struct srs *s;

    *out = NULL;
    if (str_trim(rest).n == 0)
        return RC_NONE;
#ifndef HAVE_OPENSSL
    return FAIL(why, RC_CONFIG, "srs_secrets: this build has no OpenSSL; make one with libssl-dev");
#endif
    a = arena_new(512);
    s = arena_new_of(a, struct srs);
    s->arena = a;
    s->domain = arena_copy(a, config->srs_domain);
    s->lifetime_days = (config->srs_lifetime + DAY_SECONDS - 1) / DAY_SECONDS;
    while (str_token(&rest, LIST_SEPARATORS, &word))
        vec_add(a, &s->secrets, arena_copy(a, word));
    if (s->lifetime_days >= DAYS_ROUND / 2) {
        arena_free(a);
        return FAIL(why, RC_CONFIG, "srs_lifetime must be below %d days", DAYS_ROUND / 2);
    }
    *out = s;
    (void)why;
    return RC_OK;
}

/* ---- signatures ---- */

/* Of the parts in lower case, one behind the other. */
static bool sign(struct str secret, const struct str *parts, size_t n, char hash[HASH_CHARS + 1])
{
#ifdef HAVE_OPENSSL
    static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned bytes = 0, bits;
    AUTO_BUF text;

    buf_init(&text, 4096);
    for (size_t i = 0; i < n; i++)
        buf_add(&text, parts[i]);
    if (text.over)
        return false;
    if (text.n)
        str_lower_bytes(text.p, text.n);
    if (HMAC(EVP_sha1(), secret.p, (int)secret.n, (const unsigned char *)buf_text(&text), text.n,
             digest, &bytes) == NULL ||
        bytes != DIGEST_BYTES)
        return false;
    bits = (unsigned)digest[0] << 16 | (unsigned)digest[1] << 8 | digest[2];
    for (int i = 0; i < HASH_CHARS; i++)
        hash[i] = base64[bits >> (18 - 6 * i) & 63];
    hash[HASH_CHARS] = '\0';
    return true;
#else
    (void)secret;
    (void)parts;
    (void)n;
    (void)hash;
    return false;
#endif
}

/* Mail systems on the way may have changed the case of letters. */
static bool is_signed(const struct srs *s, struct str hash, const struct str *parts, size_t n)
{
    for (size_t i = 0; i < s->secrets.n; i++) {
        char good[HASH_CHARS + 1];
        if (hash.n >= HASH_CHARS && sign(s->secrets.v[i], parts, n, good) &&
            str_eq_nocase(str_head(hash, HASH_CHARS), str_of(good)))
            return true;
    }
    return false;
}

/* ---- days ---- */

static void put_days(time_t now, char text[3])
{
    long days = now / DAY_SECONDS;

    text[0] = base32[days >> 5 & 31];
    text[1] = base32[days & 31];
    text[2] = '\0';
}

static bool is_fresh(const struct srs *s, struct str text, time_t now)
{
    long days = 0, age;

    if (text.n != 2)
        return false;
    for (size_t i = 0; i < text.n; i++) {
        const char *digit = strchr(base32, to_upper(text.p[i]));
        if (digit == NULL || text.p[i] == '\0')
            return false;
        days = days << 5 | (digit - base32);
    }
    age = (now / DAY_SECONDS - days) % DAYS_ROUND;
    if (age < 0)
        age += DAYS_ROUND;
    return age <= s->lifetime_days || age == DAYS_ROUND - 1; /* a clock that is ahead */
}

/* ---- forward ---- */

/* "SRS0=...", also with "+" or "-" in place of the first "=": rest is what follows "SRS0". */
static bool is_rewritten(struct str local, char digit, struct str *rest)
{
    if (local.n < 5 || !str_has_prefix_nocase(local, STR("SRS")) || local.p[3] != digit ||
        strchr("=+-", local.p[4]) == NULL)
        return false;
    *rest = str_from(local, 4);
    return true;
}

static enum rc make(const struct srs *s, const char *kind, const struct str *parts, size_t n,
                    struct str rest, struct arena *a, struct str *out, struct why *why)
{
    char hash[HASH_CHARS + 1];
    struct str local;

    if (!sign(s->secrets.v[0], parts, n, hash))
        return FAIL(why, RC_TEMP, "SRS: cannot sign");
    local = arena_printf(a, "%s=%s=" STR_FMT, kind, hash, STR_ARG(rest));
    if (local.n > LOCAL_MAX)
        return FAIL(why, RC_NONE, "SRS: the rewritten address would be too long");
    *out = address_join(a, local, s->domain);
    return RC_OK;
}

static enum rc forward_again(const struct srs *s, struct str host, struct str user, struct arena *a,
                             struct str *out, struct why *why)
{
    const struct str parts[] = {host, user};
    struct str rest = arena_printf(a, STR_FMT "=" STR_FMT, STR_ARG(host), STR_ARG(user));

    return make(s, "SRS1", parts, 2, rest, a, out, why);
}

/* Bytes that end a part, and those that no address has. */
static bool is_fit(struct address_parts at)
{
    return str_index(at.domain, '=') < 0 && memchr(at.domain.p, 0, at.domain.n) == NULL &&
           memchr(at.local.p, 0, at.local.n) == NULL;
}

enum rc srs_forward(const struct srs *s, struct str sender, time_t now, struct arena *a,
                    struct str *out, struct why *why)
{
    struct address_parts at = address_split(sender);
    struct str rest;
    char days[3];

    if (s == NULL || at.local.n == 0 || at.domain.n == 0 || str_eq_nocase(at.domain, s->domain) ||
        !is_fit(at))
        return RC_NONE;
    if (is_rewritten(at.local, '0', &rest))
        return forward_again(s, at.domain, rest, a, out, why);
    if (is_rewritten(at.local, '1', &rest)) { /* =HASH=first=REST: only the last hop is ours */
        struct str text = str_from(rest, 1), host;
        (void)str_cut(&text, '=');
        host = str_cut(&text, '=');
        if (text.n && host.n)
            return forward_again(s, host, text, a, out, why);
    }
    put_days(now, days);
    const struct str parts[] = {str_of(days), at.domain, at.local};
    rest = arena_printf(a, "%s=" STR_FMT "=" STR_FMT, days, STR_ARG(at.domain), STR_ARG(at.local));
    return make(s, "SRS0", parts, 3, rest, a, out, why);
}

/* ---- reverse ---- */

static enum rc reverse_first(const struct srs *s, struct str text, time_t now, struct arena *a,
                             struct str *out, struct why *why)
{
    struct str hash = str_cut(&text, '='), days = str_cut(&text, '=');
    struct str host = str_cut(&text, '='), user = text;
    const struct str parts[] = {days, host, user};

    if (host.n == 0 || user.n == 0)
        return FAIL(why, RC_PERM, "malformed SRS address");
    if (!is_signed(s, hash, parts, 3))
        return FAIL(why, RC_PERM, "SRS address with a wrong signature");
    if (!is_fresh(s, days, now))
        return FAIL(why, RC_PERM, "SRS address has expired");
    *out = address_join(a, user, host);
    return RC_OK;
}

/* Back to the forwarder before us. */
static enum rc reverse_again(const struct srs *s, struct str text, struct arena *a, struct str *out,
                             struct why *why)
{
    struct str hash = str_cut(&text, '='), host = str_cut(&text, '='), user = text;
    const struct str parts[] = {host, user};

    if (host.n == 0 || user.n == 0)
        return FAIL(why, RC_PERM, "malformed SRS address");
    if (!is_signed(s, hash, parts, 2))
        return FAIL(why, RC_PERM, "SRS address with a wrong signature");
    *out = address_join(a, arena_printf(a, "SRS0" STR_FMT, STR_ARG(user)), host);
    return RC_OK;
}

enum rc srs_reverse(const struct srs *s, struct str recipient, time_t now, struct arena *a,
                    struct str *out, struct why *why)
{
    struct address_parts at = address_split(recipient);
    struct str rest;

    if (s == NULL || !str_eq_nocase(at.domain, s->domain))
        return RC_NONE;
    if (is_rewritten(at.local, '0', &rest))
        return reverse_first(s, str_from(rest, 1), now, a, out, why);
    if (is_rewritten(at.local, '1', &rest))
        return reverse_again(s, str_from(rest, 1), a, out, why);
    return RC_NONE;
}
