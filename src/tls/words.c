/* Words that need no OpenSSL: log levels and trust. */
#include "tls/tls.h"

enum rc tls_loglevel_parse(struct str text, unsigned *bits, struct why *why)
{
    unsigned found = 0;
    struct str word;

    while (str_token(&text, LIST_SEPARATORS, &word)) {
        long level = 0;
        if (str_to_long(word, 0, 4, &level))
            found |= (1u << level) - 1;
        else if (str_eq_nocase(word, STR("trace")))
            found |= TLS_LOG_TRACE;
        else
            return FAIL(why, RC_CONFIG,
                        "unknown TLS log level \"" STR_FMT "\"; use 0 to 4, or a number and trace",
                        STR_ARG(word));
    }
    *bits = found;
    return RC_OK;
}

const char *tls_trust_word(enum tls_trust trust)
{
    static const char *const words[] = {
        [TLS_ANONYMOUS] = "Anonymous",
        [TLS_UNTRUSTED] = "Untrusted",
        [TLS_TRUSTED] = "Trusted",
        [TLS_VERIFIED] = "Verified",
    };

    return words[trust];
}
