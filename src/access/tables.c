/* check_*_access: the order in which keys are tried. */
#include "access/restrictions.h"
#include "config/config.h"
#include "global/address.h"

enum rc try_key(struct access_context *c, struct table *t, struct str key, struct str subject,
                const char *class, enum verdict *v)
{
    struct str value;
    struct why why;
    enum rc rc = table_get(t, key, c->arena, &value, &why);

    if (rc == RC_NONE)
        return RC_NONE;
    if (rc == RC_OK) {
        *v = table_result(c, table_name(t), value, subject, class);
        return RC_OK;
    }
    log_warning(c->log, STR_FMT " lookup error for \"" STR_FMT "\": %s", STR_ARG(table_name(t)),
                STR_ARG(key), why.text);
    *v = refuse_trouble(c, subject, class);
    return RC_TEMP;
}

enum verdict check_host_table(struct access_context *c, struct table *t, struct str host,
                              struct str subject, const char *class, bool *found)
{
    bool parents = !table_is_pattern(t), dots = !c->access->access_parents;
    enum verdict v = DUNNO;
    struct str key = host;

    *found = true;
    for (;;) {
        ssize_t dot;
        if (key.n && try_key(c, t, key, subject, class, &v) != RC_NONE)
            return v;
        dot = parents ? str_index(str_from(key, 1), '.') : -1; /* behind a leading dot, too */
        if (dot < 0)
            break;
        key = str_from(key, (size_t)dot + 1 + !dots);
    }
    *found = false;
    return DUNNO;
}

enum verdict check_address_table(struct access_context *c, struct table *t,
                                 const struct addr *address, struct str subject, const char *class,
                                 bool *found)
{
    char text[ADDR_TEXT_SIZE], separator = addr_family(address) == AF_INET6 ? ':' : '.';
    bool parts = !table_is_pattern(t);
    enum verdict v = DUNNO;
    struct str key;

    addr_format(address, text);
    *found = true;
    for (key = str_of(text); key.n;) {
        ssize_t at;
        if (try_key(c, t, key, subject, class, &v) != RC_NONE)
            return v;
        at = parts ? str_rindex(key, separator) : -1;
        if (at < 0)
            break;
        key = str_head(key, (size_t)at);
        while (key.n && key.p[key.n - 1] == ':')
            key.n--;
    }
    *found = false;
    return DUNNO;
}

static enum verdict check_client_table(struct access_context *c, const struct step *s,
                                       struct str name, struct str subject, const char *class)
{
    bool found;
    enum verdict v = check_host_table(c, s->table, name, subject, class, &found);

    if (found)
        return v;
    return check_address_table(c, s->table, &c->client.address, subject, class, &found);
}

enum verdict check_client_access(struct access_context *c, const struct step *s)
{
    return check_client_table(c, s, c->client.name, c->client.label, CLASS_CLIENT);
}

enum verdict check_reverse_client_access(struct access_context *c, const struct step *s)
{
    return check_client_table(c, s, c->client.reverse_name, c->client.reverse_name, CLASS_REVERSE);
}

enum verdict check_address_map(struct access_context *c, const struct step *s)
{
    struct str value;
    struct why why;

    if (c->client.address_text.n == 0)
        return DUNNO;
    switch (table_get(s->table, c->client.address_text, c->arena, &value, &why)) {
    case RC_OK: return PERMIT;
    case RC_NONE: return DUNNO;
    default: log_warning(c->log, STR_FMT ": %s", STR_ARG(s->argument), why.text); return DUNNO;
    }
}

enum verdict check_helo_access(struct access_context *c, const struct step *s)
{
    bool found;

    return c->helo.p ? check_host_table(c, s->table, c->helo, c->helo, CLASS_HELO, &found) : DUNNO;
}

enum verdict check_etrn_access(struct access_context *c, const struct step *s)
{
    bool found;

    if (c->etrn_domain.p == NULL)
        return DUNNO;
    return check_host_table(c, s->table, c->etrn_domain, c->etrn_domain, CLASS_ETRN, &found);
}

static enum verdict check_mail_address(struct access_context *c, const struct step *s,
                                       struct str address, struct str subject, const char *class)
{
    const struct config *config = c->access->config;
    struct address_keys how = {
        .delimiters = config->recipient_delimiter,
        .user_at = true,
        .plain_domain = true,
        .with_domain_only = true,
        .dot_parents = !c->access->access_parents,
    };
    struct str value, extension;
    struct why why;

    switch (maps_get_address(s->addresses, address, &how, c->arena, &value, &extension, &why)) {
    case RC_OK: return table_result(c, s->argument, value, subject, class);
    case RC_NONE: return DUNNO;
    default:
        log_warning(c->log, STR_FMT " lookup error for \"" STR_FMT "\": %s", STR_ARG(s->argument),
                    STR_ARG(address), why.text);
        return refuse_trouble(c, subject, class);
    }
}

static enum verdict check_null_sender(struct access_context *c, const struct step *s)
{
    struct str value;
    struct why why;

    switch (maps_get(s->addresses, c->access->config->smtpd_null_access_lookup_key, c->arena,
                     &value, &why)) {
    case RC_OK: return table_result(c, s->argument, value, c->sender, CLASS_SENDER);
    case RC_NONE: return DUNNO;
    default:
        log_warning(c->log, STR_FMT " lookup error for \"" STR_FMT "\": %s", STR_ARG(s->argument),
                    STR_ARG(c->access->config->smtpd_null_access_lookup_key), why.text);
        return refuse_trouble(c, c->sender, CLASS_SENDER);
    }
}

/* Keys are made from the address as routing sees it: with domain, without source route. */
static enum verdict check_resolved(struct access_context *c, const struct step *s,
                                   struct str address, const char *class)
{
    const struct resolved *r;
    enum verdict v = resolve(c, address, &r);

    return v == DUNNO ? check_mail_address(c, s, r->recipient, address, class) : v;
}

enum verdict check_sender_access(struct access_context *c, const struct step *s)
{
    if (c->sender.p == NULL)
        return DUNNO;
    return c->sender.n ? check_resolved(c, s, c->sender, CLASS_SENDER) : check_null_sender(c, s);
}

enum verdict check_recipient_access(struct access_context *c, const struct step *s)
{
    return c->recipient.p && c->recipient.n ? check_resolved(c, s, c->recipient, CLASS_RECIPIENT)
                                            : DUNNO;
}

enum verdict check_sasl_access(struct access_context *c, const struct step *s)
{
    bool found = false;

    if (c->sasl_username.n == 0)
        return DUNNO;
    return check_host_table(c, s->table, c->sasl_username, c->sasl_username, CLASS_SASL, &found);
}
