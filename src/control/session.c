/* Requests of smtpctl, one after the other on a connection. */
#include <sys/socket.h>
#include <unistd.h>

#include "config/config.h"
#include "control/control.h"
#include "util/clock.h"

enum { REPORT_MAX = 32 * 1024, OBEYED_MS = 3000, OBEYED_STEP_US = 1000, TIMEOUT_MS = 60 * 1000 };

struct request {
    struct service_env *env;
    struct ipc ipc;
    struct arena *arena;
    struct control_request words;
};

static bool may_control(const struct service_env *env, int fd)
{
    struct ucred peer = {.uid = (uid_t)-1};
    socklen_t n = sizeof peer;

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0 &&
           (peer.uid == 0 || peer.uid == env->mail_uid);
}

/* Master acts at once; whoever asked shall see it done. */
static enum rc wish(struct service_env *env, enum service_wish what, const atomic_uint *place,
                    unsigned value, struct why *why)
{
    long end = clock_ms() + OBEYED_MS;

    service_wish(env, what, value);
    while (atomic_load(place) != value) {
        if (clock_ms() > end)
            return FAIL(why, RC_TIMEOUT, "master does not answer");
        usleep(OBEYED_STEP_US);
    }
    return RC_OK;
}

static void tell_qmgr(struct service_env *env)
{
    AUTO_ARENA a = arena_new(512);
    struct qmgr_control word = {.operation = 'c'};
    struct str name = arena_printf(a, "public/" STR_FMT, STR_ARG(env->config->queue_service_name));
    struct status_reply reply;
    struct ipc qmgr;
    struct why why = {0};
    enum rc rc = ipc_connect(&qmgr, STR("."), name.p, env->config->ipc_timeout * 1000, &why);

    if (rc == RC_OK) {
        rc = ipc_send_qmgr_control(&qmgr, &word, -1, &why);
        if (rc == RC_OK)
            rc = ipc_read_status_reply(&qmgr, a, &reply, NULL, &why);
        ipc_done(&qmgr);
    }
    if (rc != RC_OK)
        log_warning(&env->log, "queue manager: %s", why.text);
}

static enum rc set_paused(struct request *r, bool on, struct why *why)
{
    const struct board_switches *s = r->env->board.switches;
    unsigned bit = board_paused_bit(r->words.argument), now = atomic_load(&s->paused);

    if (bit == 0)
        return FAIL(why, RC_PERM, "unknown subsystem " STR_FMT, STR_ARG(r->words.argument));
    if (on && now & bit)
        return FAIL(why, RC_PERM, "already paused");
    if (!on && !(now & bit))
        return FAIL(why, RC_PERM, "not paused");
    log_info(&r->env->log, "%s: " STR_FMT, on ? "pause" : "resume", STR_ARG(r->words.argument));
    TRY(wish(r->env, WISH_PAUSE, &s->paused, on ? now | bit : now & ~bit, why));
    if (bit != PAUSED_SMTP)
        tell_qmgr(r->env);
    return RC_OK;
}

static enum rc set_bits(struct request *r, unsigned bits, bool on, struct why *why)
{
    const atomic_uint *place = &r->env->board.switches->trace;
    unsigned now = atomic_load(place);

    if (bits == 0)
        return FAIL(why, RC_PERM, "unknown subsystem " STR_FMT, STR_ARG(r->words.argument));
    return wish(r->env, WISH_TRACE, place, on ? now | bits : now & ~bits, why);
}

static enum rc set_verbose(struct request *r, bool on, struct why *why)
{
    return set_bits(r, TRACE_VERBOSE, on, why);
}

static enum rc set_traced(struct request *r, bool on, struct why *why)
{
    return set_bits(r, board_trace_bit(r->words.argument), on, why);
}

static enum rc set_profiled(struct request *r, bool on, struct why *why)
{
    return set_bits(r, board_profile_bit(r->words.argument), on, why);
}

static const struct {
    struct str word;
    enum rc (*set)(struct request *r, bool on, struct why *why);
    bool on;
} requests[] = {
    {STR_INIT("pause"), set_paused, true},     {STR_INIT("resume"), set_paused, false},
    {STR_INIT("verbose"), set_verbose, true},  {STR_INIT("brief"), set_verbose, false},
    {STR_INIT("trace"), set_traced, true},     {STR_INIT("untrace"), set_traced, false},
    {STR_INIT("profile"), set_profiled, true}, {STR_INIT("unprofile"), set_profiled, false},
};

static enum rc run(struct request *r, struct why *why)
{
    if (r->env->board.switches == NULL)
        return FAIL(why, RC_TEMP, "no switches: this process was not started by master");
    log_trace(&r->env->log, LOG_TRACE_STAT, "stat: request " STR_FMT, STR_ARG(r->words.word));
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
        if (str_eq(requests[i].word, r->words.word))
            return requests[i].set(r, requests[i].on, why);
    return FAIL(why, RC_PERM, "unknown request " STR_FMT, STR_ARG(r->words.word));
}

/* name=value lines; what is switched comes first. */
static enum rc send_stats(struct request *r, struct why *why)
{
    const struct board *b = &r->env->board;
    struct report_text report = {0};
    AUTO_BUF text;

    buf_init(&text, REPORT_MAX);
    if (b->switches)
        buf_addf(&text, "paused=%u\ntrace=%u\nstarted=%ld\n", atomic_load(&b->switches->paused),
                 atomic_load(&b->switches->trace), atomic_load(&b->switches->started));
    for (enum board_counter c = 0; c < COUNTERS; c++)
        buf_addf(&text, "%s=%ld\n", board_counter_name(c), board_value(b, c));
    report.text = buf_str(&text);
    return ipc_send_report_text(&r->ipc, &report, -1, why);
}

/* The answer goes out first: master ends this process as well. */
static enum rc stop(struct request *r, struct why *why)
{
    struct status_reply reply = {0};
    enum rc rc = ipc_send_status_reply(&r->ipc, &reply, -1, why);

    log_info(&r->env->log, "stop");
    service_wish(r->env, WISH_STOP, 0);
    return rc;
}

static enum rc answer(struct request *r, struct why *why)
{
    struct status_reply reply = {0};
    struct why failure = {0};

    if (str_eq(r->words.word, STR("stats")))
        return send_stats(r, why);
    if (str_eq(r->words.word, STR("stop")))
        return stop(r, why);
    if (run(r, &failure) != RC_OK) {
        reply.status = 1;
        reply.text = str_of(failure.text);
    }
    return ipc_send_status_reply(&r->ipc, &reply, -1, why);
}

void control_session(struct service_env *env, void *state, int fd)
{
    AUTO_ARENA arena = arena_new(2048);
    struct request r = {.env = env, .arena = arena};
    enum ipc_type type;
    struct why why = {0};
    enum rc rc = RC_OK;

    (void)state;
    ipc_init(&r.ipc, dup(fd), TIMEOUT_MS);
    if (!may_control(env, fd)) {
        struct status_reply denied = {1, STR("permission denied")};
        (void)!ipc_send_status_reply(&r.ipc, &denied, -1, &why);
        ipc_done(&r.ipc);
        return;
    }
    board_count(&env->board, COUNTER_control_session, 1);
    while (rc == RC_OK && (rc = service_next(env, &r.ipc, &type, &why)) == RC_OK) {
        arena_reset(arena);
        rc = ipc_read_control_request(&r.ipc, arena, &r.words, NULL, &why);
        if (rc == RC_OK)
            rc = answer(&r, &why);
    }
    if (rc == RC_PERM)
        log_warning(&env->log, "%s", why.text);
    board_count(&env->board, COUNTER_control_session, -1);
    ipc_done(&r.ipc);
}
