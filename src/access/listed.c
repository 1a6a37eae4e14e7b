/* Addresses that no table knows. */
#include "access/restrictions.h"
#include "config/config.h"
#include "global/address.h"
#include "global/dsn.h"

static bool always_local(void *context, struct str domain)
{
    (void)context;
    (void)domain;
    return true;
}

static bool is_local(void *context, struct str domain)
{
    struct access_context *c = context;

    return resolve_is_local_domain(c->access->rewriter, domain, NULL) == RC_OK;
}

/* RC_OK, RC_NONE, RC_TEMP (and one warning). */
static enum rc find(struct access_context *c, struct maps *maps, struct str address,
                    bool bare_users)
{
    struct address_keys how = {
        .delimiters = c->access->config->recipient_delimiter,
        .is_local = bare_users ? always_local : is_local,
        .context = c,
        .with_domain_only = true,
    };
    struct str value, extension;
    struct why why;
    enum rc rc;

    if (maps_empty(maps))
        return RC_NONE;
    rc = maps_get_address(maps, address, &how, c->arena, &value, &extension, &why);
    if (rc != RC_OK && rc != RC_NONE)
        log_warning(c->log, "%s", why.text);
    return rc;
}

struct recipient_table {
    unsigned class;
    struct maps *maps;
    const char *name;
    long code;
    bool bare_users;
    bool must_exist; /* a domain without table has no users */
};

static struct recipient_table table_of_class(const struct access *access, unsigned flags)
{
    const struct config *config = access->config;

    if (flags & RESOLVE_LOCAL)
        return (struct recipient_table){RESOLVE_LOCAL,
                                        access->local_recipients,
                                        "local recipient table",
                                        config->unknown_local_recipient_reject_code,
                                        true,
                                        false};
    if (flags & RESOLVE_VIRTUAL_ALIAS)
        return (struct recipient_table){RESOLVE_VIRTUAL_ALIAS,
                                        access->virtual_alias,
                                        "virtual alias table",
                                        config->unknown_virtual_alias_reject_code,
                                        false,
                                        true};
    if (flags & RESOLVE_VIRTUAL_MAILBOX)
        return (struct recipient_table){RESOLVE_VIRTUAL_MAILBOX,
                                        access->virtual_mailbox,
                                        "virtual mailbox table",
                                        config->unknown_virtual_mailbox_reject_code,
                                        false,
                                        false};
    if (flags & RESOLVE_RELAY)
        return (struct recipient_table){RESOLVE_RELAY,
                                        access->relay_recipients,
                                        "relay recipient table",
                                        config->unknown_relay_recipient_reject_code,
                                        false,
                                        false};
    return (struct recipient_table){0};
}

/* The error and retry transports carry the answer in their nexthop. */
static bool is_error_route(const struct resolved *r, const char **dsn)
{
    *dsn = str_eq(r->transport, STR("error")) ? "5.0.0" : "4.0.0";
    return str_eq(r->transport, STR("error")) || str_eq(r->transport, STR("retry"));
}

static enum verdict refuse_error_route(struct access_context *c, const struct resolved *r,
                                       struct str address, const char *class, const char *dflt)
{
    struct str dsn, text;
    bool sender = strcmp(class, CLASS_SENDER) == 0;

    dsn_split(r->nexthop, dflt, &dsn, &text);
    if (sender && str_has_prefix(str_from(dsn, 1), STR(".1.1")))
        dsn = STR("5.1.0");
    return refuse_subject(c, dflt[0] == '5' ? 550 : 450, arena_text(c->arena, dsn), address, class,
                          text);
}

static enum verdict refuse_unknown(struct access_context *c, const struct recipient_table *t,
                                   struct str address, const char *class)
{
    const struct config *config = c->access->config;
    bool sender = strcmp(class, CLASS_SENDER) == 0;
    bool names = c->access->config->show_user_unknown_table_name;

    if (!sender && config->smtpd_unknown_recipient_delay)
        let_wait(c, config->smtpd_unknown_recipient_delay);
    return refuse_subject(c, t->code, sender ? "5.1.0" : "5.1.1", address, class,
                          names ? arena_printf(c->arena, "User unknown in %s", t->name)
                                : STR("User unknown"));
}

/* The warning about the table is in the log. */
static enum verdict refuse_lookup(struct access_context *c, struct str address)
{
    if (str_eq(c->access->config->smtpd_unlisted_tempfail_action, STR("permit")))
        return DUNNO;
    return access_refuse(
        c, 451, "4.3.0",
        arena_printf(c->arena, "<" STR_FMT ">: Temporary lookup failure", STR_ARG(address)));
}

/* Tables that rewrite an address before it is looked for in the table of its class. */
static enum rc find_rewritten(struct access_context *c, struct str address, bool sender)
{
    const struct access *access = c->access;
    struct maps *maps[] = {sender ? access->sender_canonical : access->recipient_canonical,
                           access->canonical, access->virtual_alias};
    enum rc rc = RC_NONE;

    for (size_t i = 0; i < sizeof maps / sizeof *maps && rc == RC_NONE; i++)
        rc = find(c, maps[i], address, false);
    return rc;
}

/* Senders of our own notifications and probes: answers to them are taken, and thrown away later. */
static bool is_our_robot(const struct access_context *c, struct str address)
{
    struct address_parts parts = address_split(address);
    struct address_parts probe = address_split(c->access->config->address_verify_sender);

    return str_eq_nocase(parts.local, c->access->config->double_bounce_sender) ||
           (probe.local.n && str_eq_nocase(parts.local, probe.local) &&
            (!probe.has_domain || str_eq_nocase(parts.domain, probe.domain)));
}

enum verdict check_listed(struct access_context *c, struct str address, const char *class)
{
    bool sender = strcmp(class, CLASS_SENDER) == 0;
    const struct resolved *r;
    struct recipient_table t;
    const char *dsn;
    enum verdict v;
    enum rc rc;

    if (address.n == 0)
        return DUNNO;
    v = resolve(c, address, &r);
    if (v != DUNNO || c->resolved_address.p == NULL)
        return v;
    rc = find_rewritten(c, r->recipient, sender);
    if (rc != RC_OK && rc != RC_NONE)
        return refuse_lookup(c, address);
    if (rc == RC_NONE && is_error_route(r, &dsn))
        return refuse_error_route(c, r, address, class, dsn);
    t = table_of_class(c->access, r->flags);
    if (rc == RC_OK || t.maps == NULL || (maps_empty(t.maps) && !t.must_exist) ||
        is_our_robot(c, r->recipient))
        return DUNNO;
    if (rc == RC_NONE && t.class != RESOLVE_VIRTUAL_ALIAS)
        rc = find(c, t.maps, r->recipient, t.bare_users);
    if (rc == RC_OK)
        return DUNNO;
    return rc == RC_NONE ? refuse_unknown(c, &t, address, class) : refuse_lookup(c, address);
}

enum verdict reject_unlisted_recipient(struct access_context *c, const struct step *s)
{
    (void)s;
    if (c->recipient.p == NULL || c->recipient_checked)
        return DUNNO;
    c->recipient_checked = true;
    return check_listed(c, c->recipient, CLASS_RECIPIENT);
}

enum verdict reject_unlisted_sender(struct access_context *c, const struct step *s)
{
    (void)s;
    if (c->sender.p == NULL || c->sender_checked)
        return DUNNO;
    c->sender_checked = true;
    return check_listed(c, c->sender, CLASS_SENDER);
}
