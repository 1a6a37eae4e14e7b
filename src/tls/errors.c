/* What OpenSSL has to say, from the error queue of this thread. */
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "tls/tls.h"

struct str tls_library_error(struct arena *a)
{
    const char *data = NULL;
    int flags = 0;
    unsigned long e = ERR_get_error_all(NULL, NULL, NULL, &data, &flags);
    const char *reason = e ? ERR_reason_error_string(e) : NULL;
    struct str words;

    if (e == 0)
        return STR("no details");
    words = reason ? arena_copy(a, str_of(reason)) : arena_printf(a, "error %lu", e);
    if (data && *data && flags & ERR_TXT_STRING)
        words = arena_printf(a, STR_FMT " (%s)", STR_ARG(words), data);
    ERR_clear_error();
    return words;
}

void tls_log_library_errors(const struct log *log)
{
    const char *file = NULL, *data = NULL;
    unsigned long e;
    int line = 0, flags = 0;

    while ((e = ERR_get_error_all(&file, &line, NULL, &data, &flags)) != 0) {
        char text[256];
        ERR_error_string_n(e, text, sizeof text);
        if (data && *data && flags & ERR_TXT_STRING)
            log_warning(log, "TLS library problem: %s:%s:%d:%s:", text, file, line, data);
        else
            log_warning(log, "TLS library problem: %s:%s:%d:", text, file, line);
    }
}
