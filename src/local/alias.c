/* alias_maps. */

#include "config/config.h"
#include "global/address.h"
#include "local/destinations.h"
#include "local/local.h"
#include "table/table.h"

struct alias {
    struct str name, value;
    struct table *table;
    bool with_extension; /* found with the extension in the name */
};

/* An alias that stands in its own expansion means the user of that name. */
static bool is_being_expanded(const struct target *t, struct str name)
{
    for (; t; t = t->parent)
        if (t->alias.n && str_eq(t->alias, name))
            return true;
    return false;
}

static enum rc lookup(struct attempt *at, struct str name, struct alias *out, struct why *why)
{
    struct str quoted = address_quote(at->arena, name);
    enum rc rc =
        maps_get_from(at->state->aliases, quoted, at->arena, &out->value, &out->table, why);

    if (rc == RC_NONE && !str_eq(quoted, name))
        rc = maps_get_from(at->state->aliases, name, at->arena, &out->value, &out->table, why);
    out->name = name;
    return rc;
}

static enum rc find(struct attempt *at, const struct target *t, struct alias *out, struct why *why)
{
    enum rc rc = RC_NONE;

    if (!is_being_expanded(t, t->name))
        rc = lookup(at, t->name, out, why);
    out->with_extension = rc == RC_OK && t->extension.n;
    if (rc == RC_NONE && t->extension.n && !is_being_expanded(t, t->user))
        rc = lookup(at, t->user, out, why);
    return rc;
}

/* Commands and files of an alias run as the owner of the table; root's, and those of tables that
 * are no files, as default_privs. */
static enum rc rights_of(struct attempt *at, const struct alias *alias, const struct user **out,
                         struct why *why)
{
    struct str name = table_name(alias->table);
    uid_t owner;
    enum rc rc;

    *out = NULL;
    if (table_owner(alias->table, &owner) != RC_OK || owner == 0 || at->env->rootless)
        return RC_OK;
    rc = user_by_uid(owner, at->arena, out, why);
    return rc == RC_NONE
               ? FAIL(why, RC_TEMP, "no account has the user id %u, the owner of " STR_FMT, owner,
                      STR_ARG(name))
               : rc;
}

/* "owner-NAME": troubles of a mailing list go there, not to those who write to it. */
static enum rc set_owner(struct attempt *at, const struct alias *alias, struct target *child,
                         struct why *why)
{
    const struct config *config = at->env->config;
    struct alias owner = {0};
    struct destination *list;
    struct str address;
    size_t n;
    enum rc rc;

    if (str_has_prefix(alias->name, STR("owner-")))
        return RC_OK;
    rc = lookup(at, arena_printf(at->arena, "owner-" STR_FMT, STR_ARG(alias->name)), &owner, why);
    if (rc == RC_NONE) {
        if (config->reset_owner_alias)
            child->sender = at->d->request.sender;
        return RC_OK;
    }
    if (rc != RC_OK)
        return rc;
    address = owner.name;
    if (config->expand_owner_alias &&
        destinations_parse(owner.value, at->arena, &list, &n, why) == RC_OK && n == 1 &&
        list[0].kind == DESTINATION_ADDRESS)
        address = list[0].text;
    if (str_rindex(address, '@') < 0)
        address = address_join(at->arena, address, config->myorigin);
    child->sender = address;
    return RC_OK;
}

/* The list itself is delivered, or expanded; its members owe no report of success (RFC 3461 5.2.7).
 */
static void change_notify(struct attempt *at, const struct target *t, struct target *child)
{
    enum { NEVER = 1, SUCCESS = 2, FAILURE = 4, DELAY = 8 };
    bool is_list = !str_eq(child->sender, t->sender);
    struct dsn dsn = dsn_simple("2.0.0", STR("alias expanded"));

    if ((t->rcpt.dsn_notify & SUCCESS) && !deliver_is_trial(at->d)) {
        dsn.action = is_list ? STR("delivered") : STR("expanded");
        deliver_trace(at->d, &t->rcpt, &dsn);
    }
    if (is_list)
        child->rcpt.dsn_notify = FAILURE | DELAY;
    else if (child->rcpt.dsn_notify & SUCCESS)
        child->rcpt.dsn_notify =
            child->rcpt.dsn_notify == SUCCESS ? NEVER : child->rcpt.dsn_notify & ~(long)SUCCESS;
}

bool deliver_alias(struct attempt *at, struct target *t)
{
    const struct user *rights = NULL;
    struct alias alias = {0};
    struct target child = *t;
    struct why why = {0};
    enum rc rc = find(at, t, &alias, &why);

    if (rc == RC_NONE)
        return false;
    if (rc == RC_OK)
        rc = rights_of(at, &alias, &rights, &why);
    if (rc == RC_OK)
        rc = set_owner(at, &alias, &child, &why);
    if (rc != RC_OK) {
        log_warning(&at->d->log, "alias of " STR_FMT ": %s", STR_ARG(t->name), why.text);
        reportf(at, t, "4.3.0", "alias database unavailable");
        return true;
    }
    if (at->d->request.flags & DELIVER_MTA_VERIFY) {
        reportf(at, t, "2.0.0", "aliased to " STR_FMT, STR_ARG(str_head(alias.value, 500)));
        return true;
    }
    log_trace(&at->d->log, LOG_TRACE_EXPAND, "expand: " STR_FMT " -> " STR_FMT, STR_ARG(alias.name),
              STR_ARG(alias.value));
    change_notify(at, t, &child);
    child.parent = t;
    child.alias = alias.name;
    if (alias.with_extension)
        child.extension = STR(""); /* it was matched: nothing is left to be passed on */
    deliver_expansion(at, &child, alias.value, FROM_ALIAS, rights);
    return true;
}
