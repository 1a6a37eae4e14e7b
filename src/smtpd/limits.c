/*
 * Limits per client, counted by the anvil service. A connection that is counted keeps its line to
 * anvil as long as it lasts, so that anvil notices when this process dies.
 */
#include <stdio.h>

#include "smtpd/smtpd.h"

/* "service:address", the address cut to the configured prefix. */
static struct str make_ident(struct session *s)
{
    const struct addr *client = &s->access.client.address;
    struct addr a = *client;
    bool v6 = addr_family(client) == AF_INET6;
    long bits = v6 ? s->config->smtpd_client_ipv6_prefix_length
                   : s->config->smtpd_client_ipv4_prefix_length;
    long full = v6 ? 128 : 32;
    unsigned char *bytes = v6 ? a.in6.sin6_addr.s6_addr : (unsigned char *)&a.in.sin_addr;
    char text[ADDR_TEXT_SIZE];

    for (long i = bits < 0 ? 0 : bits; i < full; i++)
        bytes[i / 8] &= (unsigned char)~(0x80 >> i % 8);
    addr_format(&a, text);
    return bits < full ? arena_printf(s->arena, "%s:%s/%ld", s->smtpd->env->name, text, bits)
                       : arena_printf(s->arena, "%s:%s", s->smtpd->env->name, text);
}

/* False: anvil does not answer; then nobody is refused. */
static bool ask(struct session *s, char operation, struct anvil_reply *reply)
{
    struct anvil_request request = {.operation = operation, .ident = s->anvil_ident};
    enum rc rc = RC_OK;

    if (s->is_exempt)
        return false;
    if (s->anvil.fd < 0) {
        rc = service_pool_take(s->smtpd->anvil, &s->anvil, &s->why);
        if (rc != RC_OK)
            s->anvil.fd = -1;
    }
    if (s->anvil_ident.n == 0)
        request.ident = s->anvil_ident = make_ident(s);
    if (rc == RC_OK)
        rc = ipc_send_anvil_request(&s->anvil, &request, -1, &s->why);
    if (rc == RC_OK)
        rc = ipc_read_anvil_reply(&s->anvil, s->arena, reply, NULL, &s->why);
    if (rc == RC_OK && reply->status == 0)
        return true;
    log_warning(&s->log, "anvil service: %s", rc == RC_OK ? "refused" : s->why.text);
    if (s->anvil.fd >= 0)
        service_pool_give(s->smtpd->anvil, &s->anvil, true);
    s->anvil.fd = -1;
    s->is_exempt = true; /* once is enough */
    return false;
}

static bool exceeds(struct session *s, long value, long limit, const char *what)
{
    if (limit <= 0 || value <= limit)
        return false;
    log_warning(&s->log, "%s limit exceeded: %ld from " STR_FMT " for service %s", what, value,
                STR_ARG(s->access.client.label), s->smtpd->env->name);
    return true;
}

bool limit_connection(struct session *s)
{
    const struct config *config = s->config;
    struct anvil_reply reply = {0};

    if ((config->smtpd_client_connection_count_limit <= 0 &&
         config->smtpd_client_connection_rate_limit <= 0) ||
        !ask(s, 'c', &reply))
        return true;
    if (!exceeds(s, reply.count, config->smtpd_client_connection_count_limit,
                 "Connection concurrency") &&
        !exceeds(s, reply.rate, config->smtpd_client_connection_rate_limit, "Connection rate"))
        return true;
    if (config->smtpd_client_connection_limit_text.n) {
        wire_reply(&s->wire, config->smtpd_client_connection_limit_text);
        session_end(s, NULL);
        return false;
    }
    session_replyf(s, "421 4.7.0 " STR_FMT " Error: too many connections from " STR_FMT,
                   STR_ARG(config->myhostname), STR_ARG(s->access.client.address_text));
    return false;
}

bool limit_messages(struct session *s)
{
    struct anvil_reply reply = {0};

    if (s->config->smtpd_client_message_rate_limit <= 0 || !ask(s, 'm', &reply) ||
        !exceeds(s, reply.mail ? reply.mail : reply.rate,
                 s->config->smtpd_client_message_rate_limit, "Message delivery request rate"))
        return true;
    session_replyf(s, "450 4.7.1 Error: too much mail from " STR_FMT,
                   STR_ARG(s->access.client.address_text));
    return false;
}

bool limit_recipients(struct session *s)
{
    struct anvil_reply reply = {0};

    if (s->config->smtpd_client_recipient_rate_limit <= 0 || !ask(s, 'r', &reply) ||
        !exceeds(s, reply.recipients ? reply.recipients : reply.rate,
                 s->config->smtpd_client_recipient_rate_limit, "Recipient address rate"))
        return true;
    session_replyf(s, "450 4.7.1 Error: too many recipients from " STR_FMT,
                   STR_ARG(s->access.client.address_text));
    return false;
}

/* A handshake costs more than anything else that a stranger can ask for. */
bool limit_tls_allowed(struct session *s)
{
    struct anvil_reply reply = {0};

    if (s->config->smtpd_client_new_tls_session_rate_limit <= 0 || !ask(s, 'T', &reply) ||
        reply.rate <= s->config->smtpd_client_new_tls_session_rate_limit)
        return true;
    log_warning(&s->log, "Refusing STARTTLS request from " STR_FMT " for service %s",
                STR_ARG(s->access.client.label), s->smtpd->env->name);
    return false;
}

bool limit_new_tls(struct session *s)
{
    struct anvil_reply reply = {0};

    if (s->access.tls->resumed || s->config->smtpd_client_new_tls_session_rate_limit <= 0 ||
        !ask(s, 't', &reply) ||
        !exceeds(s, reply.rate, s->config->smtpd_client_new_tls_session_rate_limit,
                 "New TLS session rate"))
        return true;
    session_replyf(s, "421 4.7.0 " STR_FMT " Error: too many new TLS sessions from " STR_FMT,
                   STR_ARG(s->config->myhostname), STR_ARG(s->access.client.label));
    s->over = true;
    return false;
}

bool limit_auth(struct session *s)
{
    struct anvil_reply reply = {0};

    if (s->config->smtpd_client_auth_rate_limit <= 0 || !ask(s, 'a', &reply) ||
        !exceeds(s, reply.auth ? reply.auth : reply.rate, s->config->smtpd_client_auth_rate_limit,
                 "AUTH command rate"))
        return true;
    session_replyf(s, "450 4.7.1 Error: too many AUTH commands from " STR_FMT,
                   STR_ARG(s->access.client.address_text));
    return false;
}

void limit_disconnect(struct session *s)
{
    struct anvil_reply reply = {0};

    if (s->anvil.fd < 0 || !ask(s, 'd', &reply))
        return;
    service_pool_give(s->smtpd->anvil, &s->anvil, false);
    s->anvil.fd = -1;
}
