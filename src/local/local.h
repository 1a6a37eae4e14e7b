/* Private to local/. */
#pragma once

#include "deliver/deliver.h"
#include "deliver/mailbox.h"
#include "util/map.h"

struct maps;
struct users;

enum origin_kind { FROM_ENVELOPE, FROM_ALIAS, FROM_FORWARD, FROM_INCLUDE };

struct user { /* an account; texts are NUL-terminated */
    struct str name, home, shell;
    uid_t uid;
    gid_t gid;
};

struct local_state {
    struct deliver_shared *shared;
    struct maps *aliases, *commands, *transports, *fallbacks;
    struct maps *addresses, *accounts; /* local_address_maps, local_user_maps */
    struct service_pool *rewrite, *cleanup;
    struct users *users;
    struct user nobody;                         /* default_privs */
    unsigned may_command, may_file;             /* bits 1 << enum origin_kind */
    unsigned propagate;                         /* likewise: unmatched extensions are kept */
    bool mark_command, mark_file, mark_forward; /* prepend_delivered_header */
};

/* Where mail is to go, at one point of an expansion. */
struct target {
    struct recipient rcpt; /* address: of this point; the rest as qmgr gave it */
    struct str name;       /* local part in lower case, with extension */
    struct str user;       /* without */
    struct str extension;  /* without delimiter */
    struct str delimiter;  /* in front of it */
    struct str domain;
    struct str sender;         /* of what is passed on: changes with an owner- alias */
    struct str delivered;      /* for Delivered-To: */
    const struct user *rights; /* of who wrote this destination down; NULL: default_privs */
    enum origin_kind from;
    struct str alias; /* being expanded here, or empty */
    const struct target *parent;
    int level;
};

/* One recipient of the request with all that comes of it. */
struct attempt {
    struct service_env *env;
    struct local_state *state;
    struct delivery *d;
    size_t index;
    struct arena *arena;
    struct map *seen; /* duplicates, over all recipients of the request */
    VEC(struct forward) forwards;
    bool remains; /* something must be tried again */
};

struct forward { /* addresses that get the same new message */
    struct str sender, delivered;
    VEC(struct recipient) recipients;
};

enum rc local_start(struct service_env *env, void **state, struct why *why);
bool local_has_changed(struct service_env *env, void *state);
void local_session(struct service_env *env, void *state, int fd);

/* ---- reporting ---- */
void report(struct attempt *at, const struct target *t, const struct dsn *dsn);
void reportf(struct attempt *at, const struct target *t, const char *status, const char *format,
             ...) PRINTF_LIKE(4, 5);
/* True the first time. */
bool is_first(struct attempt *at, const char *format, ...) PRINTF_LIKE(2, 3);

/* ---- recipients ---- */
void deliver_recipient(struct attempt *at, struct target *t);
void deliver_to_user(struct attempt *at, struct target *t); /* no aliases, no .forward */
/* local_address_maps: false when there are none. */
bool deliver_virtual(struct attempt *at, struct target *t);
/* False: no such alias, nothing was done. */
bool deliver_alias(struct attempt *at, struct target *t);
bool deliver_dotforward(struct attempt *at, struct target *t, const struct user *user);
/* A text with destinations. t: whose they are. */
void deliver_expansion(struct attempt *at, const struct target *t, struct str text,
                       enum origin_kind from, const struct user *rights);
/* How many destinations are in it? Comments and empty lines do not count. */
size_t expansion_size(struct attempt *at, struct str text);
/* Any address: here, or passed on. */
void deliver_address(struct attempt *at, struct target *t, struct str address);

/* ---- mailboxes, commands, files ---- */
void deliver_mailbox(struct attempt *at, struct target *t, const struct user *user);
void deliver_file(struct attempt *at, struct target *t, struct str path);
void deliver_command(struct attempt *at, struct target *t, struct str text,
                     const struct user *rights, struct str shell);
void biff_notify(struct attempt *at, const struct user *user);

/* ---- elsewhere ---- */
void forward_add(struct attempt *at, const struct target *t, struct str address);
void forward_send(struct attempt *at); /* when all else went well */
/* To "transport:nexthop" instead. */
void pass_on(struct attempt *at, const struct target *t, struct str destination);

struct resolution {
    struct str address, transport, nexthop;
    bool here; /* this service delivers it */
};
enum rc resolve(struct attempt *at, struct str address, struct resolution *out,
                struct why *why) MUST_USE;

/* ---- the system ---- */
struct users *users_new(void);
/* RC_NONE: no such account. Good answers are kept for a few seconds. */
enum rc user_find(struct users *u, struct str name, struct arena *a, const struct user **out,
                  struct why *why) MUST_USE;
/* Of a recipient: local_delivery_user, local_user_maps, or the system. */
enum rc user_for(struct attempt *at, struct str name, const struct user **out,
                 struct why *why) MUST_USE;
enum rc user_by_uid(uid_t uid, struct arena *a, const struct user **out, struct why *why) MUST_USE;

/* %{name} in home_mailbox and mailbox_command; without any the text stays as it is. */
enum rc expand_format(struct attempt *at, const struct target *t, const struct user *user,
                      struct str text, struct str *out, struct why *why) MUST_USE;

/* $name in forward_path and luser_relay; empty: the value is not there. allowed: characters that
 * values may hold. *missing: a name without value was used. */
struct str expand_for(struct attempt *at, const struct target *t, const struct user *user,
                      struct str text, const char *allowed, bool *missing);
