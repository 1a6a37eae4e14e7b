/* Which protocol versions: PREFIXprotocols and the protocols= of policies. */
#include <openssl/ssl.h>
#include <stdlib.h>

#include "tls/tls.h"

static const struct {
    const char *name;
    int version;
    unsigned long off;
} versions[] = {
    {"SSLv2", 2, 0}, /* OpenSSL has forgotten it; the name may still be excluded */
    {"SSLv3", SSL3_VERSION, SSL_OP_NO_SSLv3},
    {"TLSv1", TLS1_VERSION, SSL_OP_NO_TLSv1},
    {"TLSv1.1", TLS1_1_VERSION, SSL_OP_NO_TLSv1_1},
    {"TLSv1.2", TLS1_2_VERSION, SSL_OP_NO_TLSv1_2},
    {"TLSv1.3", TLS1_3_VERSION, SSL_OP_NO_TLSv1_3},
};
enum { VERSIONS = sizeof versions / sizeof *versions };

static int version_index(struct str name)
{
    for (int i = 0; i < VERSIONS; i++)
        if (str_eq_nocase(name, str_of(versions[i].name)))
            return i;
    return -1;
}

/* A limit may also be the hexadecimal number of a version, 0304. */
static enum rc limit(struct str word, int *version, struct why *why)
{
    int i = version_index(word);

    if (i >= 0) {
        *version = versions[i].version;
        return RC_OK;
    }
    if (word.n == 4 && word.p[0] == '0' && word.p[1] == '3') {
        char digits[5] = {word.p[0], word.p[1], word.p[2], word.p[3], 0}, *end;
        *version = (int)strtol(digits, &end, 16);
        if (*end == 0)
            return RC_OK;
    }
    return FAIL(why, RC_CONFIG,
                "unknown TLS protocol \"" STR_FMT "\"; use SSLv3, TLSv1, TLSv1.1, TLSv1.2, TLSv1.3",
                STR_ARG(word));
}

enum rc tls_protocols_parse(struct str text, struct tls_protocols *out, struct why *why)
{
    struct tls_protocols p = {0};
    unsigned included = 0, excluded = 0;
    struct str word;

    while (str_token(&text, LIST_SEPARATORS ":", &word)) {
        if (str_has_prefix(word, STR(">="))) {
            TRY(limit(str_from(word, 2), &p.min, why));
        } else if (str_has_prefix(word, STR("<="))) {
            TRY(limit(str_from(word, 2), &p.max, why));
        } else {
            bool not = str_has_prefix(word, STR("!"));
            int i = version_index(str_from(word, not ));
            if (i < 0)
                return FAIL(why, RC_CONFIG,
                            "unknown TLS protocol \"" STR_FMT
                            "\"; use SSLv3, TLSv1, TLSv1.1, TLSv1.2, TLSv1.3",
                            STR_ARG(word));
            *(not ? &excluded : &included) |= 1u << i;
        }
    }
    if (included)
        excluded |= ~included;
    for (int i = 0; i < VERSIONS; i++)
        if (excluded & 1u << i)
            p.off |= versions[i].off;
    if (p.min && p.max && p.min > p.max)
        return FAIL(why, RC_CONFIG, "no TLS protocol is left between the limits");
    *out = p;
    return RC_OK;
}
