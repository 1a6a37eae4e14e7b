/*
 * virtual - delivery agent for mailboxes of domains whose users have no account here.
 *
 * virtual_mailbox_maps gives the path below virtual_mailbox_base (a maildir when it ends in '/'),
 * virtual_uid_maps and virtual_gid_maps the rights that it is written with. No aliases, no
 * commands, no .forward.
 */
#include "config/config.h"
#include "deliver/mailbox.h"
#include "table/table.h"
#include "util/memory.h"

struct virtual_state { /* read-only after start */
    struct deliver_shared *shared;
    struct maps *mailbox, *uid, *gid;
    struct address_keys keys;
};

struct context {
    struct service_env *env;
    const struct virtual_state *state;
};

static enum rc start(struct service_env *env, void **out, struct why *why)
{
    enum { FLAGS = TABLE_NO_SUBSTITUTE | TABLE_NO_PROXY | TABLE_NO_UNAUTH };
    struct virtual_state *s = NEW(struct virtual_state);
    struct table_env tables = {env->config, &env->log};
    const struct config *c = env->config;

    if (c->virtual_mailbox_base.n == 0 && c->virtual_mailbox_maps.n > 0)
        return FAIL(why, RC_CONFIG,
                    "virtual_mailbox_base is empty; set it to the directory above the mailboxes");
    if (c->virtual_mailbox_limit > 0 && c->virtual_mailbox_limit < c->message_size_limit)
        return FAIL(why, RC_CONFIG,
                    "virtual_mailbox_limit = %ld is smaller than message_size_limit = %ld; no "
                    "mailbox would take such a message",
                    c->virtual_mailbox_limit, c->message_size_limit);
    TRY(deliver_start(env, &s->shared, why));
    TRY(maps_open("virtual_mailbox_maps", c->virtual_mailbox_maps, FLAGS, &tables, &s->mailbox,
                  why));
    TRY(maps_open("virtual_uid_maps", c->virtual_uid_maps, FLAGS, &tables, &s->uid, why));
    TRY(maps_open("virtual_gid_maps", c->virtual_gid_maps, FLAGS, &tables, &s->gid, why));
    s->keys = (struct address_keys){.delimiters = c->recipient_delimiter, .with_domain_only = true};
    *out = s;
    return RC_OK;
}

static enum rc lookup(struct context *c, struct delivery *d, struct maps *maps, size_t i,
                      struct str *value, struct why *why)
{
    struct str extension;

    return maps_get_address(maps, d->request.recipients[i].address, &c->state->keys, d->arena,
                            value, &extension, why);
}

/* A recipient that has a mailbox must have both numbers. */
static enum rc lookup_number(struct context *c, struct delivery *d, struct maps *maps,
                             const char *parameter, size_t i, long min, long *number,
                             struct why *why)
{
    struct str recipient = d->request.recipients[i].address, value;
    enum rc rc;

    if (c->env->rootless && maps_empty(maps))
        return RC_OK; /* everything belongs to the user who runs this */
    rc = lookup(c, d, maps, i, &value, why);
    if (rc == RC_NONE)
        return FAIL(why, RC_CONFIG, "recipient " STR_FMT ": not found in %s", STR_ARG(recipient),
                    parameter);
    if (rc == RC_OK && !str_to_long(str_trim(value), min, INT_MAX, number))
        return FAIL(why, RC_CONFIG,
                    "recipient " STR_FMT ": \"" STR_FMT "\" in %s is no number of at least %ld",
                    STR_ARG(recipient), STR_ARG(value), parameter, min);
    return rc;
}

/* Where it goes, with whose rights. RC_NONE: no such mailbox. */
static enum rc find_mailbox(struct context *c, struct delivery *d, size_t i, struct mailbox *m,
                            struct why *why)
{
    const struct config *config = c->env->config;
    struct str base = config->virtual_mailbox_base, path = STR("");
    long uid = 0, gid = 0;

    TRY(lookup(c, d, c->state->mailbox, i, &path, why));
    TRY(lookup_number(c, d, c->state->uid, "virtual_uid_maps", i, config->virtual_minimum_uid, &uid,
                      why));
    TRY(lookup_number(c, d, c->state->gid, "virtual_gid_maps", i, 1, &gid, why));
    *m = (struct mailbox){
        .path = arena_printf(d->arena, STR_FMT "/" STR_FMT, STR_ARG(base), STR_ARG(path)),
        .uid = (uid_t)uid,
        .gid = (gid_t)gid,
        .delivered_to = d->request.recipients[i].address,
        .owned = true,
        .copy_flags = COPY_RETURN_PATH | COPY_ORIGINAL_TO | COPY_DELIVERED_TO,
        .size_limit = config->virtual_mailbox_limit,
    };
    return RC_OK;
}

static struct dsn deliver_one(struct context *c, struct delivery *d, size_t i)
{
    struct str recipient = d->request.recipients[i].address;
    struct mailbox m = {0};
    struct why why = {0};
    struct dsn outcome;

    switch (find_mailbox(c, d, i, &m, &why)) {
    case RC_OK: break;
    case RC_NONE:
        return dsn_simple(
            "5.1.1", arena_printf(d->arena, "unknown user: \"" STR_FMT "\"", STR_ARG(recipient)));
    case RC_CONFIG:
        log_warning(&d->log, "%s", why.text);
        return dsn_simple("4.3.5", STR("mail system configuration error"));
    default:
        log_warning(&d->log, "%s", why.text);
        return dsn_simple("4.3.0", STR("temporary lookup failure"));
    }
    if (deliver_is_loop(d, recipient))
        return dsn_simple("5.4.6", arena_printf(d->arena, "mail forwarding loop for " STR_FMT,
                                                STR_ARG(recipient)));
    if (deliver_is_trial(d))
        return dsn_simple("2.0.0", str_has_suffix(m.path, STR("/")) ? STR("delivers to maildir")
                                                                    : STR("delivers to mailbox"));
    mailbox_deliver(d, i, &m, &outcome);
    return outcome;
}

static void deliver_request(void *context, struct delivery *d)
{
    d->relay = STR("virtual");
    for (size_t i = 0; i < d->request.n_recipients; i++) {
        struct dsn outcome = deliver_one(context, d, i);
        deliver_report(d, i, &outcome);
    }
}

static void session(struct service_env *env, void *state, int fd)
{
    struct context c = {env, state};

    deliver_serve(env, c.state->shared, fd, deliver_request, NULL, &c);
}

static bool has_changed(struct service_env *env, void *state)
{
    const struct virtual_state *s = state;

    (void)env;
    return maps_have_changed(s->mailbox) || maps_have_changed(s->uid) ||
           maps_have_changed(s->gid) || deliver_tables_have_changed(s->shared);
}

static const struct service virtual = {
    .name = "virtual",
    .shape = SERVICE_SESSION,
    .privilege = RUN_AS_ROOT,
    .may = MAY_WRITE_QUEUE | MAY_DELIVER,
    .default_sessions = 1,
    .start = start,
    .session = session,
    .has_changed = has_changed,
};

int main(int argc, char **argv)
{
    return service_main(&virtual, argc, argv);
}
