/* What is opened once per process, and the loop over the recipients of a request. */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>

#include "config/config.h"
#include "deliver/post.h"
#include "local/local.h"
#include "table/table.h"
#include "util/memory.h"

static unsigned origins(struct str list)
{
    return (str_list_has_nocase(list, STR("alias")) ? 1u << FROM_ALIAS : 0) |
           (str_list_has_nocase(list, STR("forward")) ? 1u << FROM_FORWARD : 0) |
           (str_list_has_nocase(list, STR("include")) ? 1u << FROM_INCLUDE : 0);
}

static enum rc open_maps(struct service_env *env, struct local_state *s, struct why *why)
{
    enum { STRICT = TABLE_NO_SUBSTITUTE | TABLE_NO_PROXY | TABLE_NO_UNAUTH };
    struct table_env tables = {env->config, &env->log};
    const struct config *c = env->config;

    TRY(maps_open("alias_maps", c->alias_maps, STRICT, &tables, &s->aliases, why));
    TRY(maps_open("local_address_maps", c->local_address_maps, STRICT, &tables, &s->addresses,
                  why));
    TRY(maps_open("local_user_maps", c->local_user_maps, STRICT, &tables, &s->accounts, why));
    TRY(maps_open("mailbox_command_maps", c->mailbox_command_maps, STRICT, &tables, &s->commands,
                  why));
    TRY(maps_open("mailbox_transport_maps", c->mailbox_transport_maps, TABLE_NO_SUBSTITUTE, &tables,
                  &s->transports, why));
    return maps_open("fallback_transport_maps", c->fallback_transport_maps, TABLE_NO_SUBSTITUTE,
                     &tables, &s->fallbacks, why);
}

static enum rc find_nobody(struct service_env *env, struct local_state *s, struct why *why)
{
    const struct passwd *pw = getpwnam(env->config->default_privs.p);

    if (pw == NULL && env->rootless)
        pw = getpwuid(env->mail_uid);
    if (pw == NULL)
        return FAIL(why, RC_CONFIG, "default_privs = " STR_FMT ": no such user",
                    STR_ARG(env->config->default_privs));
    if (pw->pw_uid == 0 && !env->rootless)
        return FAIL(why, RC_CONFIG,
                    "default_privs = " STR_FMT ": it is the super-user; commands in aliases would "
                    "run as root",
                    STR_ARG(env->config->default_privs));
    s->nobody = (struct user){
        .name = str_of(memory_text(pw->pw_name)), .uid = pw->pw_uid, .gid = pw->pw_gid};
    return RC_OK;
}

enum rc local_start(struct service_env *env, void **out, struct why *why)
{
    struct local_state *s = NEW(struct local_state);
    const struct config *c = env->config;
    char socket[256];

    if (c->mailbox_size_limit > 0 &&
        (c->message_size_limit == 0 || c->mailbox_size_limit < c->message_size_limit))
        return FAIL(why, RC_CONFIG,
                    "mailbox_size_limit = %ld is smaller than message_size_limit = %ld; no mailbox "
                    "would take such a message",
                    c->mailbox_size_limit, c->message_size_limit);
    TRY(deliver_start(env, &s->shared, why));
    TRY(open_maps(env, s, why));
    TRY(find_nobody(env, s, why));
    snprintf(socket, sizeof socket, "private/" STR_FMT, STR_ARG(c->rewrite_service_name));
    s->rewrite = service_pool_new(env, socket);
    s->cleanup = post_pool(env);
    s->users = users_new();
    s->may_command = origins(c->allow_mail_to_commands);
    s->may_file = origins(c->allow_mail_to_files);
    s->propagate = origins(c->propagate_unmatched_extensions);
    s->mark_command = str_list_has_nocase(c->prepend_delivered_header, STR("command"));
    s->mark_file = str_list_has_nocase(c->prepend_delivered_header, STR("file"));
    s->mark_forward = str_list_has_nocase(c->prepend_delivered_header, STR("forward"));
    *out = s;
    return RC_OK;
}

bool local_has_changed(struct service_env *env, void *state)
{
    const struct local_state *s = state;

    (void)env;
    return maps_have_changed(s->aliases) || maps_have_changed(s->addresses) ||
           maps_have_changed(s->accounts) || maps_have_changed(s->commands) ||
           maps_have_changed(s->transports) || maps_have_changed(s->fallbacks) ||
           deliver_tables_have_changed(s->shared);
}

/* ---- requests ---- */

struct context {
    struct service_env *env;
    struct local_state *state;
};

static void forget_map(void *context)
{
    map_done(context);
}

static void deliver_one(struct context *c, struct delivery *d, size_t i, struct map *seen)
{
    const struct recipient *r = &d->request.recipients[i];
    struct attempt at = {
        .env = c->env, .state = c->state, .d = d, .index = i, .arena = d->arena, .seen = seen};
    struct target t = {.rcpt = *r, .sender = d->request.sender, .delivered = r->address};

    if (c->env->config->prepend_delivered_header.n && deliver_is_loop(d, r->address))
        reportf(&at, &t, "5.4.6", "mail forwarding loop for " STR_FMT, STR_ARG(r->address));
    else
        deliver_recipient(&at, &t);
    if (!at.remains)
        forward_send(&at);
    deliver_done(d, i, !at.remains);
}

static void deliver_request(void *context, struct delivery *d)
{
    struct map *seen = arena_new_of(d->arena, struct map);

    map_init(seen);
    arena_defer(d->arena, forget_map, seen);
    d->relay = STR("local");
    for (size_t i = 0; i < d->request.n_recipients; i++)
        deliver_one(context, d, i, seen);
}

void local_session(struct service_env *env, void *state, int fd)
{
    struct context c = {env, state};

    deliver_serve(env, c.state->shared, fd, deliver_request, NULL, &c);
}
