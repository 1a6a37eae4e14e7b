/* A sendmail(1) that hands over its message directly: who it is says the kernel. */
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config/config.h"
#include "config/master_cf.h"
#include "pickup/pickup.h"
#include "submit/local.h"
#include "table/table.h"
#include "util/memory.h"

struct user_sessions {
    int n;
};

enum rc pickup_start(struct service_env *env, void **state, struct why *why)
{
    struct table_env tables = {env->config, &env->log};
    struct pickup *p = NEW(struct pickup);
    const struct config *cleanup = NULL, *rewrite = NULL;

    pthread_mutex_init(&p->lock, NULL);
    TRY(service_config_of(env, env->config->cleanup_service_name, &cleanup, why));
    TRY(service_config_of(env, env->config->rewrite_service_name, &rewrite, why));
    TRY(rewriter_new(rewrite, &env->log, &p->rewriter, why));
    TRY(submit_open(cleanup, p->rewriter, &env->log, &p->submit, why));
    TRY(queue_open(env->config, &p->queue, why));
    TRY(match_open("authorized_submit_users", env->config->authorized_submit_users, MATCH_STRING,
                   false, &tables, &p->users, why));
    *state = p;
    return RC_OK;
}

/* One more session of this user; false: too many at once. */
static bool enter(struct pickup *p, struct str uid)
{
    struct user_sessions *u;
    bool room;

    pthread_mutex_lock(&p->lock);
    u = map_get(&p->sessions, uid);
    if (u == NULL) {
        u = NEW(struct user_sessions);
        map_put(&p->sessions, uid, u);
    }
    room = u->n < PICKUP_SESSIONS_PER_USER;
    u->n += room;
    pthread_mutex_unlock(&p->lock);
    return room;
}

static void leave(struct pickup *p, struct str uid)
{
    struct user_sessions *u;

    pthread_mutex_lock(&p->lock);
    u = map_get(&p->sessions, uid);
    if (u && --u->n == 0)
        free(map_remove(&p->sessions, uid));
    pthread_mutex_unlock(&p->lock);
}

static bool may_submit(struct pickup *p, struct service_env *env, uid_t uid)
{
    struct passwd space, *found = NULL;
    char names[2048];
    struct why why = {0};
    enum rc rc;

    if (uid == 0)
        return true;
    (void)getpwuid_r(uid, &space, names, sizeof names, &found);
    rc = match_get(p->users, found ? str_of(found->pw_name) : STR("unknown"), &why);
    if (rc != RC_OK && rc != RC_NONE)
        log_warning(&env->log, "authorized_submit_users: %s", why.text);
    if (rc != RC_OK)
        log_error(&env->log, "User %s(%lu) is not allowed to submit mail",
                  found ? found->pw_name : "unknown", (unsigned long)uid);
    return rc == RC_OK;
}

/* Records of one frame; a record never spans two. */
static enum rc take_frame(struct local_message *m, struct local_check *check, struct str bytes,
                          struct why *why)
{
    struct str payload;
    int type;

    while (bytes.n) {
        bool keep;
        if (record_take(&bytes, &type, &payload, why) != RC_OK)
            return FAIL(why, RC_PERM, "incomplete record");
        TRY(local_check_record(check, type, payload, &keep, why));
        if (!keep && type == REC_ATTR)
            log_warning(&m->env->log, "uid=%ld: %s", m->uid, why->text);
        else if (keep)
            TRY(local_message_record(m, type, payload, why));
    }
    return RC_OK;
}

/* One message. The answer's status says what became of it; anything but RC_OK ends the connection.
 */
static enum rc take_message(struct local_message *m, struct ipc *c, struct submit_done *answer,
                            struct why *why)
{
    struct local_check check = {0};
    struct local_submit hello = {0};
    struct submit_end end = {0};
    enum ipc_type type;

    TRY(ipc_read_local_submit(c, m->arena, &hello, NULL, why));
    for (;;) {
        TRY(ipc_next(c, &type, why));
        if (type == IPC_submit_text) {
            AUTO_ARENA frame =
                arena_new(66 * 1024); /* content must not pile up in the message's arena */
            struct submit_text text = {0};
            TRY(ipc_read_submit_text(c, frame, &text, NULL, why));
            TRY(take_frame(m, &check, text.records, why));
            continue;
        }
        TRY(ipc_read_submit_end(c, m->arena, &end, NULL, why));
        if (end.cancel)
            return RC_NONE;
        TRY(local_check_end(&check, why));
        answer->status = local_message_finish(m, &answer->reason);
        return RC_OK;
    }
}

static void serve(struct pickup *p, struct service_env *env, struct ipc *c, uid_t uid)
{
    AUTO_ARENA arena = arena_new(16 * 1024);
    struct submit_done answer = {0};
    struct local_message m;
    struct why why = {0};
    enum rc rc;

    local_message_init(&m, p, env, arena, (long)uid);
    if (!may_submit(p, env, uid)) {
        answer = (struct submit_done){SUBMIT_NOPERM, STR("User is not allowed to submit mail")};
    } else {
        rc = take_message(&m, c, &answer, &why);
        if (rc == RC_PERM)
            answer = (struct submit_done){SUBMIT_BAD, str_of(why.text)};
        else if (rc == RC_TEMP)
            answer = (struct submit_done){SUBMIT_WRITE, str_of(why.text)};
        if (rc != RC_OK && rc != RC_NONE)
            log_warning(&env->log, "uid=%lu: %s", (unsigned long)uid, why.text);
        if (rc != RC_OK && rc != RC_PERM && rc != RC_TEMP)
            return;
    }
    if (ipc_send_submit_done(c, &answer, -1, &why) != RC_OK)
        log_warning(&env->log, "uid=%lu: %s", (unsigned long)uid, why.text);
}

void pickup_session(struct service_env *env, void *state, int fd)
{
    struct pickup *p = state;
    struct ucred peer = {0};
    socklen_t n = sizeof peer;
    char text[32];
    struct ipc c;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0)
        return;
    snprintf(text, sizeof text, "%lu", (unsigned long)peer.uid);
    if (!enter(p, str_of(text))) {
        log_warning(&env->log,
                    "uid=%s: more than %d submissions at once; sendmail uses maildrop instead",
                    text, PICKUP_SESSIONS_PER_USER);
        return;
    }
    ipc_init(&c, dup(fd), PICKUP_TIMEOUT_MS);
    serve(p, env, &c, peer.uid);
    ipc_done(&c);
    leave(p, str_of(text));
}
