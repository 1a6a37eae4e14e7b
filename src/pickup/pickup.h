/* Private to pickup(8). */
#pragma once

#include <pthread.h>

#include "service/service.h"
#include "submit/submit.h"
#include "util/map.h"

enum { PICKUP_SESSIONS = 50, PICKUP_SESSIONS_PER_USER = 20, PICKUP_TIMEOUT_MS = 100 * 1000 };

struct match_list;

struct pickup {
    struct rewriter *rewriter;
    struct submit_library *submit;
    struct queue queue;
    struct match_list *users; /* authorized_submit_users */
    pthread_mutex_t lock;     /* guards below */
    struct map sessions;      /* uid as text -> struct user_sessions */
};

enum rc pickup_start(struct service_env *env, void **state, struct why *why);
void pickup_session(struct service_env *env, void *state, int fd);
void pickup_scan(struct service_env *env, void *state, struct str requests);

/* ---- message.c: a submission made of local records ---- */
struct local_message {
    struct pickup *pickup;
    struct service_env *env;
    struct arena *arena;
    long uid;
    bool trusted;           /* a file of mail_owner's: the queue's own records, requeued */
    struct str original_id; /* of a requeued message; else empty */
    struct submit_begin begin;
    struct submission *submission; /* NULL until the content begins */
    VEC(struct recipient) recipients;
    struct recipient next; /* attributes of the recipient that comes */
};

void local_message_init(struct local_message *m, struct pickup *p, struct service_env *env,
                        struct arena *a, long uid);

/* The next record. RC_TEMP: no queue file could be made. RC_PERM: no such record here. */
enum rc local_message_record(struct local_message *m, int type, struct str payload,
                             struct why *why) MUST_USE;

/* End: status bits as submit_finish() has them. */
unsigned local_message_finish(struct local_message *m, struct str *reason);
