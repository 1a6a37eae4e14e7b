/* Resumption of sessions: tickets and caches. */
#include "tls/private.h"

enum rc tls_resume_open(struct tls_context *t, const char *tlsmgr, struct why *why)
{
    (void)tlsmgr;
    (void)why;
    SSL_CTX_set_session_cache_mode(t->ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(t->ssl, SSL_OP_NO_TICKET);
    return RC_OK;
}

void tls_resume_prepare(struct tls_context *t, struct tls_session *s, struct str cache_id)
{
    (void)t, (void)s, (void)cache_id;
}

void tls_resume_close(struct tls_context *t)
{
    (void)t;
}
