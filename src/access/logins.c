/* Who may use a sender address (smtpd_sender_login_maps, smtpd_login_sender_maps). */
#include "access/restrictions.h"
#include "config/config.h"
#include "global/address.h"

static bool is_local(void *context, struct str domain)
{
    struct access_context *c = context;

    return resolve_is_local_domain(c->access->rewriter, domain, NULL) == RC_OK;
}

/* Login names that own the sender. RC_OK, RC_NONE, RC_TEMP */
static enum rc owners_of(struct access_context *c, struct str *owners)
{
    struct address_keys how = {
        .delimiters = c->access->config->recipient_delimiter,
        .is_local = is_local,
        .context = c,
        .with_domain_only = true,
    };
    struct str extension;
    struct why why;
    enum rc rc;

    if (c->sender.p == NULL || maps_empty(c->access->sender_logins))
        return RC_NONE;
    if (c->sender.n == 0)
        rc = maps_get(c->access->sender_logins, c->access->config->smtpd_null_access_lookup_key,
                      c->arena, owners, &why);
    else
        rc = maps_get_address(c->access->sender_logins, c->sender, &how, c->arena, owners,
                              &extension, &why);
    if (rc != RC_OK && rc != RC_NONE)
        log_warning(c->log, "%s", why.text);
    return rc;
}

static bool is_owner(struct str owners, struct str login)
{
    struct str name;

    while (str_token(&owners, LIST_SEPARATORS, &name))
        if (str_eq_nocase(name, login))
            return true;
    return false;
}

/* Is the sender one of those that the login may use? RC_OK, RC_NONE, RC_TEMP */
static enum rc may_use(struct access_context *c)
{
    struct address_parts sender = address_split(c->sender);
    struct str list, pattern;
    struct why why;
    enum rc rc;

    if (maps_empty(c->access->login_senders))
        return RC_NONE;
    rc = maps_get(c->access->login_senders, c->sasl_username, c->arena, &list, &why);
    if (rc != RC_OK && rc != RC_NONE)
        log_warning(c->log, "%s", why.text);
    while (rc == RC_OK && str_token(&list, LIST_SEPARATORS, &pattern))
        if (c->sender.n == 0 ? str_eq(pattern, STR("<>"))
                             : address_fits(sender.local, sender.domain, pattern))
            return RC_OK;
    return rc == RC_OK ? RC_NONE : rc;
}

static enum verdict refuse_login(struct access_context *c, struct str text)
{
    return refuse_subject(c, 553, "5.7.1", c->sender, CLASS_SENDER, text);
}

static enum verdict refuse_owner(struct access_context *c)
{
    return refuse_login(
        c, arena_printf(c->arena, "not owned by user " STR_FMT, STR_ARG(c->sasl_username)));
}

static enum verdict trouble(struct access_context *c)
{
    return access_refuse(
        c, 451, "4.3.0",
        arena_printf(c->arena, "<" STR_FMT ">: Temporary lookup failure", STR_ARG(c->sender)));
}

enum verdict reject_authenticated_sender_login_mismatch(struct access_context *c,
                                                        const struct step *s)
{
    struct str owners = STR_NONE;

    (void)s;
    if (c->sasl_username.n == 0 || c->sender.p == NULL)
        return DUNNO;
    switch (may_use(c)) {
    case RC_OK: return DUNNO;
    case RC_NONE: break;
    default: return trouble(c);
    }
    switch (owners_of(c, &owners)) {
    case RC_OK: return is_owner(owners, c->sasl_username) ? DUNNO : refuse_owner(c);
    case RC_NONE: return refuse_owner(c);
    default: return trouble(c);
    }
}

enum verdict reject_known_sender_login_mismatch(struct access_context *c, const struct step *s)
{
    struct str owners = STR_NONE;

    (void)s;
    switch (owners_of(c, &owners)) {
    case RC_OK:
        if (c->sasl_username.n == 0)
            return refuse_login(c, STR("not logged in"));
        return is_owner(owners, c->sasl_username) ? DUNNO : refuse_owner(c);
    case RC_NONE: return DUNNO;
    default: return trouble(c);
    }
}

enum verdict reject_unauthenticated_sender_login_mismatch(struct access_context *c,
                                                          const struct step *s)
{
    struct str owners = STR_NONE;

    (void)s;
    if (c->sasl_username.n)
        return DUNNO;
    switch (owners_of(c, &owners)) {
    case RC_OK: return refuse_login(c, STR("not logged in"));
    case RC_NONE: return DUNNO;
    default: return trouble(c);
    }
}

enum verdict reject_sender_login_mismatch(struct access_context *c, const struct step *s)
{
    enum verdict v = reject_authenticated_sender_login_mismatch(c, s);

    return v == DUNNO ? reject_unauthenticated_sender_login_mismatch(c, s) : v;
}
