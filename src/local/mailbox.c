/* A user's mailbox, or what stands for it: other transports, mailbox_command; and unknown users. */
#include "config/config.h"
#include "global/format.h"
#include "local/local.h"
#include "table/table.h"

/* The value for this user in maps, or dflt. RC_NONE: neither. */
static enum rc choose(struct attempt *at, const struct target *t, struct maps *maps,
                      struct str dflt, struct str *value, struct why *why)
{
    if (!maps_empty(maps)) {
        enum rc rc = maps_get(maps, t->user, at->arena, value, why);
        if (rc == RC_TEMP)
            reportf(at, t, "4.3.0", "table lookup error: %s", why->text);
        if (rc == RC_OK || rc == RC_TEMP)
            return rc;
    }
    *value = dflt;
    return dflt.n ? RC_OK : RC_NONE;
}

/* Is it handed to another transport? */
static bool is_passed(struct attempt *at, const struct target *t, struct maps *maps,
                      struct str dflt)
{
    struct str destination;
    struct why why;
    enum rc rc = choose(at, t, maps, dflt, &destination, &why);

    if (rc == RC_OK)
        pass_on(at, t, destination);
    return rc != RC_NONE;
}

/* ---- unknown users ---- */

static void deliver_unknown(struct attempt *at, struct target *t)
{
    const struct config *config = at->env->config;
    struct str relay;
    bool missing;

    if (is_passed(at, t, at->state->fallbacks, config->fallback_transport))
        return;
    if (config->luser_relay.n && is_first(at, "relay " STR_FMT, STR_ARG(t->rcpt.address))) {
        relay = expand_for(at, t, NULL, config->luser_relay, config->forward_expansion_filter.p,
                           &missing);
        t->level++;
        t->extension = STR("");
        deliver_address(at, t, relay);
        return;
    }
    reportf(at, t, "5.1.1", "unknown user: \"" STR_FMT "\"", STR_ARG(t->user));
}

/* ---- known users ---- */

/* home_mailbox: a name below the home directory; with %{...}, or for an action of match rules, also
 * an absolute one. */
static struct str home_path(struct attempt *at, const struct target *t, const struct user *user,
                            struct why *why)
{
    struct str path = at->env->config->home_mailbox;
    bool may_be_absolute = format_is_used(path) || t->rcpt.action.n;

    if (expand_format(at, t, user, path, &path, why) != RC_OK)
        return STR_NONE;
    if (path.n && path.p[0] == '/' && may_be_absolute)
        return path;
    if (str_has_prefix(path, STR("~/")))
        path = str_from(path, 2);
    return arena_printf(at->arena, STR_FMT "/" STR_FMT, STR_ARG(user->home), STR_ARG(path));
}

/* path.p == NULL: why tells. */
static struct mailbox mailbox_of(struct attempt *at, const struct target *t,
                                 const struct user *user, struct why *why)
{
    const struct config *config = at->env->config;
    struct str home = config->home_mailbox, spool = config->mail_spool_directory;
    struct mailbox m = {
        .uid = user->uid,
        .gid = user->gid,
        .delivered_to = t->delivered,
        .owned = true,
        .copy_flags = COPY_RETURN_PATH | COPY_ORIGINAL_TO |
                      (at->state->mark_file ? (unsigned)COPY_DELIVERED_TO : 0),
        .size_limit = config->mailbox_size_limit,
    };

    if (home.n) {
        m.path = home_path(at, t, user, why);
        m.junk_folder = config->maildir_junk_folder;
    } else {
        bool maildir = str_has_suffix(spool, STR("/"));
        m.spool = true;
        m.path = arena_printf(at->arena, STR_FMT "%s" STR_FMT "%s", STR_ARG(spool),
                              maildir ? "" : "/", STR_ARG(user->name), maildir ? "/" : "");
    }
    return m;
}

static void deliver_to_mailbox(struct attempt *at, struct target *t, const struct user *user)
{
    struct why why = {0};
    struct mailbox m = mailbox_of(at, t, user, &why);
    bool maildir = str_has_suffix(m.path, STR("/"));
    struct str sender = at->d->request.sender;
    struct dsn outcome;

    if (m.path.p == NULL) {
        reportf(at, t, "4.3.5", "home_mailbox: %s", why.text);
        return;
    }
    if (deliver_is_trial(at->d)) {
        reportf(at, t, "2.0.0", "delivers to %s", maildir ? "maildir" : "mailbox");
        return;
    }
    at->d->request.sender = t->sender; /* of Return-Path: */
    mailbox_deliver(at->d, at->index, &m, &outcome);
    at->d->request.sender = sender;
    report(at, t, &outcome);
    if (!maildir && outcome.status.p[0] == '2' && at->env->config->biff)
        biff_notify(at, user);
}

void deliver_mailbox(struct attempt *at, struct target *t, const struct user *user)
{
    const struct config *config = at->env->config;
    struct str command;
    struct why why;

    if (is_passed(at, t, at->state->transports, config->mailbox_transport))
        return;
    if (user == NULL) {
        deliver_unknown(at, t);
        return;
    }
    if (!is_first(at, "mailbox " STR_FMT " " STR_FMT, STR_ARG(user->name),
                  STR_ARG(config->local_delivery_user.n ? t->rcpt.address : STR(""))))
        return;
    switch (choose(at, t, at->state->commands, config->mailbox_command, &command, &why)) {
    case RC_OK:
        if (expand_format(at, t, user, command, &command, &why) != RC_OK)
            reportf(at, t, "4.3.5", "mailbox_command: %s", why.text);
        else
            deliver_command(at, t, command, user, config->local_command_shell);
        break;
    case RC_NONE: deliver_to_mailbox(at, t, user); break;
    default: break; /* reported */
    }
}
