/* Restrictions that look at the connection. */
#include "access/restrictions.h"
#include "config/config.h"

enum verdict permit_mynetworks(struct access_context *c, const struct step *s)
{
    struct why why;

    (void)s;
    switch (match_client(c->access->mynetworks, c->client.name, &c->client.address, &why)) {
    case RC_OK: return PERMIT;
    case RC_NONE: return DUNNO;
    default:
        log_warning(c->log, "mynetworks: %s", why.text);
        return refuse_trouble(c, c->client.label, CLASS_CLIENT);
    }
}

/* The rewriting library knows which address literals are ours. */
enum verdict permit_inet_interfaces(struct access_context *c, const struct step *s)
{
    bool v6 = addr_family(&c->client.address) == AF_INET6;
    struct why why;
    struct str literal;

    (void)s;
    if (c->client.address_text.n == 0)
        return DUNNO;
    literal = arena_printf(c->arena, v6 ? "[IPv6:" STR_FMT "]" : "[" STR_FMT "]",
                           STR_ARG(c->client.address_text));
    return resolve_is_local_domain(c->access->rewriter, literal, &why) == RC_OK ? PERMIT : DUNNO;
}

enum verdict permit_sasl_authenticated(struct access_context *c, const struct step *s)
{
    (void)s;
    return c->sasl_username.n ? PERMIT : DUNNO;
}

enum verdict reject_plaintext_session(struct access_context *c, const struct step *s)
{
    (void)s;
    if (c->tls)
        return DUNNO;
    return access_refuse(c, c->access->config->plaintext_reject_code, "4.7.1",
                         STR("Session encryption is required"));
}

enum verdict reject_unauth_pipelining(struct access_context *c, const struct step *s)
{
    bool may_pipeline = c->esmtp && str_eq_nocase(str_of(c->stage), STR("DATA")) == false;

    (void)s;
    if (may_pipeline || c->has_input == NULL || !c->has_input(c->session))
        return DUNNO;
    return refuse_subject(c, 503, "5.5.0", c->subject, c->subject_class,
                          STR("Improper use of SMTP command pipelining"));
}

enum verdict reject_unknown_client_hostname(struct access_context *c, const struct step *s)
{
    const struct config *config = c->access->config;
    bool soft = c->client.name_status == PEER_TEMP;

    (void)s;
    if (c->client.name_status == PEER_OK)
        return DUNNO;
    return access_refuse(
        c, soft ? 450 : config->unknown_client_reject_code, "4.7.25",
        arena_printf(c->arena, "Client host rejected: cannot find your hostname, [" STR_FMT "]",
                     STR_ARG(c->client.address_text)));
}

enum verdict reject_unknown_reverse_client_hostname(struct access_context *c, const struct step *s)
{
    const struct config *config = c->access->config;
    bool soft = c->client.reverse_status == PEER_TEMP;

    (void)s;
    if (c->client.reverse_status == PEER_OK)
        return DUNNO;
    return access_refuse(
        c, soft ? 450 : config->unknown_client_reject_code, "4.7.1",
        arena_printf(c->arena,
                     "Client host rejected: cannot find your reverse hostname, [" STR_FMT "]",
                     STR_ARG(c->client.address_text)));
}
