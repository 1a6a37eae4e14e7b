/* authorized_submit_users and local_login_sender_maps: who may submit mail, under which names. */
#include <pwd.h>

#include "config/config.h"
#include "global/address.h"
#include "submit/drop.h"
#include "table/table.h"
#include "util/memory.h"

struct drop_access {
    const struct config *config;
    struct match_list *users;
    struct maps *senders; /* NULL: any */
};

enum rc drop_access_open(const struct config *config, const struct log *log,
                         struct drop_access **out, struct why *why)
{
    struct drop_access *x = NEW(struct drop_access);
    struct table_env tables = {config, log};

    x->config = config;
    TRY(match_open("authorized_submit_users", config->authorized_submit_users, MATCH_STRING, false,
                   &tables, &x->users, why));
    if (!str_eq(config->local_login_sender_maps, STR("static:*")))
        TRY(maps_open("local_login_sender_maps", config->local_login_sender_maps, 0, &tables,
                      &x->senders, why));
    *out = x;
    return RC_OK;
}

bool drop_access_has_changed(struct drop_access *x)
{
    return x->senders && maps_have_changed(x->senders);
}

/* Login name; empty: the user has none. */
static struct str login_of(uid_t uid, struct arena *a)
{
    enum { BUFFER = 16 * 1024 };
    char *buffer = arena_alloc(a, BUFFER);
    struct passwd entry, *found = NULL;

    if (getpwuid_r(uid, &entry, buffer, BUFFER, &found) != 0 || found == NULL)
        return STR("");
    return str_of(found->pw_name);
}

enum rc drop_may_submit(struct drop_access *x, uid_t uid, struct why *why)
{
    AUTO_ARENA a = NULL;
    struct str login;
    enum rc rc;

    if (str_eq(x->config->authorized_submit_users, STR("static:anyone")))
        return RC_OK;
    a = arena_new(20 * 1024);
    login = login_of(uid, a);
    if (login.n == 0)
        login = STR("unknown");
    rc = match_get(x->users, login, why);
    if (rc == RC_NONE)
        return FAIL(why, RC_PERM, "User " STR_FMT "(%u) is not allowed to submit mail",
                    STR_ARG(login), uid);
    return rc;
}

static bool sender_matches(struct arena *a, const struct config *config, struct str pattern,
                           struct str sender)
{
    struct str domain = address_split(sender).domain, extension;

    if (str_eq(pattern, STR("*")))
        return true;
    if (sender.n == 0)
        return str_eq(pattern, config->empty_address_local_login_sender_maps_lookup_key);
    if (pattern.n && pattern.p[0] == '@')
        return str_eq_nocase(str_from(pattern, 1), domain);
    return str_eq_nocase(pattern, sender) ||
           str_eq_nocase(pattern, address_strip_extension(a, sender, config->recipient_delimiter,
                                                          &extension));
}

enum rc drop_may_send_as(struct drop_access *x, uid_t uid, struct str sender, struct why *why)
{
    AUTO_ARENA a = NULL;
    struct str login, list, pattern;
    enum rc rc;

    if (x->senders == NULL)
        return RC_OK;
    a = arena_new(20 * 1024);
    login = login_of(uid, a);
    if (login.n == 0)
        login = arena_printf(a, "uid:%u", uid);
    rc = maps_get(x->senders, login, a, &list, why);
    if (rc == RC_OK) {
        if (sender.n && str_rindex(sender, '@') < 0)
            sender = address_join(a, sender, x->config->myorigin);
        while (str_token(&list, LIST_SEPARATORS, &pattern))
            if (sender_matches(a, x->config, pattern, sender))
                return RC_OK;
        rc = RC_NONE;
    }
    if (rc == RC_NONE)
        return FAIL(why, RC_PERM,
                    "5.7.1 <" STR_FMT ">: Sender address rejected: not owned by user " STR_FMT,
                    STR_ARG(sender), STR_ARG(login));
    return rc;
}
