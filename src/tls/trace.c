/* What PREFIXloglevel 2 to 4 and "trace" show: the steps of a handshake, bytes, decoded messages.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/err.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "tls/private.h"
#include "util/clock.h"
#include "util/file.h"

static void on_step(const SSL *ssl, int where, int result)
{
    const struct tls_session *t = tls_session_of(ssl);
    const char *verb = t->role == TLS_SERVER ? "SSL_accept" : "SSL_connect";

    if (where & SSL_CB_LOOP)
        log_info(t->log, "%s:%s", verb, SSL_state_string_long(ssl));
    else if (where & SSL_CB_ALERT && (result & 0xff) != SSL_AD_CLOSE_NOTIFY)
        log_info(t->log, "SSL3 alert %s:%s:%s", where & SSL_CB_READ ? "read" : "write",
                 SSL_alert_type_string_long(result), SSL_alert_desc_string_long(result));
    else if (where & SSL_CB_EXIT && result == 0)
        log_info(t->log, "%s:failed in %s", verb, SSL_state_string_long(ssl));
    else if (where & SSL_CB_EXIT && result < 0)
        log_info(t->log, "%s:error in %s", verb, SSL_state_string_long(ssl));
}

void tls_trace_certificate(const struct tls_session *t, X509_STORE_CTX *store, int ok)
{
    X509 *x = X509_STORE_CTX_get_current_cert(store);
    char *line;

    if (!(t->loglevel & TLS_LOG_HANDSHAKE) || x == NULL)
        return;
    line = X509_NAME_oneline(X509_get_subject_name(x), NULL, 0);
    log_info(t->log, "%s: depth=%d verify=%d subject=%s", t->label,
             X509_STORE_CTX_get_error_depth(store), ok, line ? line : "");
    OPENSSL_free(line);
}

/* ---- bytes ---- */

void tls_trace_bytes(const struct tls_session *t, const char *verb, const char *bytes, size_t n)
{
    static const char hex[] = "0123456789abcdef";
    bool early = !SSL_is_init_finished(t->ssl);

    if (!(t->loglevel & TLS_LOG_DUMP_ALL) && !(early && t->loglevel & TLS_LOG_DUMP))
        return;
    log_info(t->log, "%s %s: %zu bytes", verb, t->label, n);
    for (size_t at = 0; at < n; at += 16) {
        char row[16 * 3 + 1] = "", text[17] = "";
        for (size_t i = 0; i < 16 && at + i < n; i++) {
            unsigned char c = (unsigned char)bytes[at + i];
            row[3 * i] = hex[c >> 4];
            row[3 * i + 1] = hex[c & 15];
            row[3 * i + 2] = ' ';
            text[i] = c >= ' ' && c < 127 ? (char)c : '.';
        }
        log_info(t->log, "%04zx %-48s %s", at, row, text);
    }
}

/* ---- decoded messages ---- */

/* At most so many files per time unit in this process. */
static bool may_trace(struct tls_context *t)
{
    const struct config *c = t->config;
    long now = clock_ms();
    bool may;

    pthread_mutex_lock(&t->trace_lock);
    if (t->trace_begun == 0 || now - t->trace_begun >= c->anvil_rate_time_unit * 1000) {
        t->trace_begun = now;
        t->traces = 0;
    }
    may = c->tls_trace_rate_limit <= 0 || t->traces < c->tls_trace_rate_limit;
    t->traces += may;
    pthread_mutex_unlock(&t->trace_lock);
    return may;
}

void tls_trace_begin(struct tls_session *t)
{
    if (t->loglevel & TLS_LOG_HANDSHAKE)
        SSL_set_info_callback(t->ssl, on_step);
#ifndef OPENSSL_NO_SSL_TRACE
    if ((t->loglevel & TLS_LOG_TRACE) == 0)
        return;
    if (!may_trace(t->context)) {
        log_info(t->log, "skipping TLS trace output - rate limit (%ld) exceeded",
                 t->context->config->tls_trace_rate_limit);
        return;
    }
    t->trace = BIO_new(BIO_s_mem());
    SSL_set_msg_callback(t->ssl, SSL_trace);
    SSL_set_msg_callback_arg(t->ssl, t->trace);
#endif
}

/* DIR/NAME-TIME-PID-NUMBER: sorts by time, never twice the same. */
static int new_file(const struct tls_session *t, char *path, size_t size)
{
    char stamp[32];
    time_t now = clock_seconds();
    struct tm tm;

    gmtime_r(&now, &tm);
    strftime(stamp, sizeof stamp, "%Y%m%d-%H%M%S", &tm);
    for (int i = 0; i < 1000; i++) {
        int fd;
        snprintf(path, size, "tlstrace/%.*s-%s-%d-%d", (int)t->context->cache.n,
                 t->context->cache.p, stamp, (int)getpid(), i);
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd >= 0 || errno != EEXIST)
            return fd;
    }
    return -1;
}

void tls_trace_end(struct tls_session *t)
{
    long limit = 0, n;
    char path[128], *bytes = NULL;
    struct why why;
    int fd;

    if (t->trace == NULL)
        return;
    SSL_set_msg_callback(t->ssl, NULL);
    n = BIO_get_mem_data(t->trace, &bytes);
    if (str_to_long(t->context->set.trace_size_limit, 0, LONG_MAX, &limit) && limit && n > limit)
        n = limit;
    fd = new_file(t, path, sizeof path);
    if (fd < 0)
        log_warning(t->log, "TLS trace: open %s: %m", path);
    else if (fd_write_all(fd, (struct str){bytes, (size_t)n}, &why) != RC_OK)
        log_warning(t->log, "TLS trace: %s: %s", path, why.text);
    else
        log_info(t->log, "TLS protocol trace for %s saved to %s", t->label, path);
    if (fd >= 0)
        close(fd);
    BIO_free(t->trace);
    t->trace = NULL;
}
