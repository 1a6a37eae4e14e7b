/* Private to pickup/. */
#pragma once

#include <pthread.h>

#include "filter/filter.h"
#include "service/service.h"
#include "submit/drop.h"
#include "submit/submit.h"

enum { PICKUP_SESSIONS = 50, SESSIONS_PER_USER = 20, MESSAGE_SECONDS = 60 };

struct pickup {
    struct queue queue;
    struct rewriter *rewriter;
    struct submit_library *submit;
    struct drop_access *access;
    unsigned flags;            /* enum submit_flags of all messages */
    struct filter_set filters; /* non_smtpd_filters */
    pthread_mutex_t lock;
    uid_t users[PICKUP_SESSIONS]; /* lock: who is being served */
    size_t n_users;               /* lock */
};

/* One message on its way in. */
struct message {
    struct service_env *env;
    struct pickup *pickup;
    struct arena *arena;
    struct log log;
    struct str orig_id; /* id of the maildrop file; empty: from the socket */
    struct drop drop;
    VEC(struct recipient) recipients;
    struct submission *submission; /* NULL: not begun */
    struct filters *filters;       /* NULL: none */
    struct str refusal;            /* "550 5.7.1 text" of a filter; empty: none */
    struct why why;                /* of the filters, while the content goes through them */
};

enum rc pickup_start(struct service_env *env, void **state, struct why *why);
bool pickup_has_changed(struct service_env *env, void *state);
void pickup_session(struct service_env *env, void *state, int fd);
void pickup_scan(struct service_env *env, void *state, struct str requests);

void message_init(struct message *m, struct service_env *env, struct pickup *pickup,
                  enum drop_source source, uid_t uid, struct arena *a);
/* Take a record of the envelope or of the end; *is_text: it is one of the content instead. */
enum rc message_record(struct message *m, int type, struct str payload, bool *is_text,
                       struct why *why) MUST_USE;
/* Envelope and recipients are known: make the queue file. RC_PERM: refused. */
enum rc message_open(struct message *m, struct why *why) MUST_USE;
void message_line(struct message *m, struct str line, bool more);
/* Bits of enum submit_status; reason in the arena. */
unsigned message_finish(struct message *m, struct str *reason);
/* The message does not come about, or has: its filters need not wait. */
void message_end(struct message *m, bool queued);
/* What a filter has refused begins again: as mail that is returned to its sender. */
enum rc message_return(struct message *m, struct why *why) MUST_USE;
