/* What match rules need of local delivery: virtual addresses, users of a table, formats. */
#include "config/config.h"
#include "global/address.h"
#include "global/format.h"
#include "local/local.h"
#include "table/table.h"

/* ---- local_address_maps ---- */

static enum rc look_up(struct attempt *at, const struct target *t, struct str *value,
                       struct why *why)
{
    struct arena *a = at->arena;
    struct str domain = arena_lower(a, t->domain);
    struct str keys[] = {address_join(a, t->name, domain),
                         address_join(a, t->user, domain),
                         t->name,
                         t->user,
                         arena_join(a, STR("@"), domain),
                         STR("@")};
    enum rc rc = RC_NONE;

    for (size_t i = 0; rc == RC_NONE && i < sizeof keys / sizeof *keys; i++)
        rc = maps_get(at->state->addresses, keys[i], a, value, why);
    return rc;
}

bool deliver_virtual(struct attempt *at, struct target *t)
{
    struct target child = *t;
    struct str value;
    struct why why = {0};
    enum rc rc;

    if (maps_empty(at->state->addresses) || t->level > 0)
        return false;
    rc = look_up(at, t, &value, &why);
    if (rc == RC_OK) {
        child.parent = t;
        deliver_expansion(at, &child, value, FROM_ALIAS, NULL);
    } else if (rc == RC_NONE) {
        reportf(at, t, "5.1.1", "unknown virtual address: \"" STR_FMT "\"",
                STR_ARG(t->rcpt.address));
    } else {
        log_warning(&at->d->log, "local_address_maps: %s", why.text);
        reportf(at, t, "4.3.0", "table of virtual addresses unavailable");
    }
    return true;
}

/* ---- users ---- */

/* UID:GID:HOME */
static enum rc parse_account(struct attempt *at, struct str name, struct str value,
                             const struct user **out, struct why *why)
{
    struct user *u = arena_new_of(at->arena, struct user);
    struct str rest = value, uid = str_cut(&rest, ':'), gid = str_cut(&rest, ':');
    long number[2];

    if (!str_to_long(str_trim(uid), 1, 0x7fffffff, &number[0]) ||
        !str_to_long(str_trim(gid), 1, 0x7fffffff, &number[1]) || rest.n == 0 || rest.p[0] != '/')
        return FAIL(why, RC_TEMP, "local_user_maps: " STR_FMT ": not uid:gid:home: " STR_FMT,
                    STR_ARG(name), STR_ARG(value));
    *u = (struct user){.name = arena_copy(at->arena, name),
                       .home = arena_copy(at->arena, rest),
                       .shell = STR("/bin/sh"),
                       .uid = (uid_t)number[0],
                       .gid = (gid_t)number[1]};
    *out = u;
    return RC_OK;
}

enum rc user_for(struct attempt *at, struct str name, const struct user **out, struct why *why)
{
    struct str account = at->env->config->local_delivery_user, value;

    if (account.n) {
        enum rc rc = user_find(at->state->users, account, at->arena, out, why);
        return rc == RC_NONE ? FAIL(why, RC_TEMP, "local_delivery_user = " STR_FMT ": no such user",
                                    STR_ARG(account))
                             : rc;
    }
    if (maps_empty(at->state->accounts))
        return user_find(at->state->users, name, at->arena, out, why);
    TRY(maps_get(at->state->accounts, name, at->arena, &value, why));
    return parse_account(at, name, value, out, why);
}

/* ---- %{...} ---- */

struct values {
    struct attempt *at;
    const struct target *target;
    const struct user *user;
};

static struct str part_of(struct str address, struct str part)
{
    struct address_parts p = address_split(address);

    if (part.n == 0)
        return address.p ? address : STR("");
    if (str_eq(part, STR("user")))
        return p.local.p ? p.local : STR("");
    if (str_eq(part, STR("domain")))
        return p.domain.p ? p.domain : STR("");
    return STR_NONE;
}

static struct str value_of(void *context, struct str name, bool *raw)
{
    const struct values *v = context;
    const struct target *t = v->target;
    struct str part = name, first = str_cut(&part, '.');

    if (str_eq(first, STR("sender")))
        return part_of(t->sender, part);
    if (str_eq(first, STR("rcpt")))
        return part_of(v->at->d->request.recipients[v->at->index].address, part);
    if (str_eq(first, STR("dest")))
        return part_of(t->rcpt.address, part);
    if (str_eq(name, STR("user.username")))
        return v->user->name;
    if (str_eq(name, STR("user.directory"))) {
        *raw = true;
        return v->user->home;
    }
    if (str_eq(name, STR("mbox.from")))
        return t->sender.n ? t->sender : STR("MAILER-DAEMON");
    return STR_NONE;
}

enum rc expand_format(struct attempt *at, const struct target *t, const struct user *user,
                      struct str text, struct str *out, struct why *why)
{
    struct values v = {at, t, user};

    *out = text;
    if (!format_is_used(text))
        return RC_OK;
    return format_expand(at->arena, text, value_of, &v, at->env->config->recipient_delimiter, out,
                         why);
}
