#include "dns/validator.h"

#ifdef HAVE_UNBOUND

#    include <dlfcn.h>
#    include <errno.h>
#    include <fcntl.h>
#    include <poll.h>
#    include <pthread.h>
#    include <stdio.h>
#    include <stdlib.h>
#    include <unbound.h>
#    include <unistd.h>

#    include "util/clock.h"
#    include "util/file.h"
#    include "util/memory.h"

enum { ANCHORS_MAX = 1024 * 1024, CLASS_IN = 1, AD_BYTE = 3, AD_BIT = 0x20 };

/* The functions that are used, as the library names them. */
#    define FUNCTIONS(DO)                                                                          \
        DO(ub_ctx_create)                                                                          \
        DO(ub_ctx_delete)                                                                          \
        DO(ub_ctx_async)                                                                           \
        DO(ub_ctx_add_ta)                                                                          \
        DO(ub_ctx_set_fwd)                                                                         \
        DO(ub_ctx_set_option)                                                                      \
        DO(ub_ctx_zone_remove)                                                                     \
        DO(ub_resolve_async)                                                                       \
        DO(ub_cancel)                                                                              \
        DO(ub_fd)                                                                                  \
        DO(ub_process)                                                                             \
        DO(ub_resolve_free)                                                                        \
        DO(ub_strerror)

struct library {
    void *handle;
#    define MEMBER(name) __typeof__(&name) name;
    FUNCTIONS(MEMBER)
#    undef MEMBER
};

struct validator {
    struct library lib;
    struct ub_ctx *ctx;
    pthread_mutex_t lock;
    pthread_t thread; /* lock; so the rest */
    bool runs, ends;
    int wake[2];
};

struct question {
    struct validator *v;
    pthread_cond_t answered;
    int async_id;
    bool done; /* v->lock */
    int error;
    struct ub_result *result;
};

static enum rc load(struct library *l, struct why *why)
{
    l->handle = dlopen("libunbound.so.8", RTLD_NOW | RTLD_LOCAL);
    if (l->handle == NULL)
        return FAIL(why, RC_CONFIG, "%s; run: apt-get install libunbound8", dlerror());
#    define FIND(name)                                                                             \
        *(void **)&l->name = dlsym(l->handle, #name);                                              \
        if (l->name == NULL)                                                                       \
            return FAIL(why, RC_CONFIG, "libunbound.so.8 lacks " #name);
    FUNCTIONS(FIND)
#    undef FIND
    return RC_OK;
}

static enum rc add_anchors(struct validator *v, const char *path, struct why *why)
{
    AUTO_ARENA a = arena_new(8192);
    struct str text, line;
    int n = 0;

    if (file_read(path, ANCHORS_MAX, a, &text, why) != RC_OK) {
        why_prefix(why, "trust anchors of DNSSEC");
        return FAIL(why, RC_CONFIG,
                    "%s; run: apt-get install dns-root-data, or see postconf "
                    "dnssec_trust_anchor_file",
                    arena_printf(a, "%s", why ? why->text : path).p);
    }
    while (text.n) {
        int error;
        line = str_cut(&text, '\n');
        line = str_trim(str_cut(&line, ';'));
        if (line.n == 0)
            continue;
        error = v->lib.ub_ctx_add_ta(v->ctx, arena_text(a, line));
        if (error)
            return FAIL(why, RC_CONFIG, "%s: \"" STR_FMT "\": %s", path, STR_ARG(line),
                        v->lib.ub_strerror(error));
        n++;
    }
    return n ? RC_OK : FAIL(why, RC_CONFIG, "%s: no DS or DNSKEY record in this file", path);
}

static enum rc add_servers(struct validator *v, const struct name_servers *servers, struct why *why)
{
    static const char *const theirs[] = {"test.", "home.arpa."};
    int error = v->lib.ub_ctx_set_option(v->ctx, "do-not-query-localhost:", "no");

    if (error == 0)
        error = v->lib.ub_ctx_set_option(v->ctx, "unblock-lan-zones:", "yes");
    for (size_t i = 0; error == 0 && i < servers->n; i++) {
        char address[ADDR_TEXT_SIZE], text[ADDR_TEXT_SIZE + 8];
        addr_format(&servers->at[i], address);
        snprintf(text, sizeof text, "%s@%u", address, addr_port(&servers->at[i]));
        error = v->lib.ub_ctx_set_fwd(v->ctx, text);
    }
    if (error == 0)
        error = v->lib.ub_ctx_async(v->ctx, 1); /* a thread, not a process */
    /* what the library would answer itself; the name servers may know better */
    for (size_t i = 0; error == 0 && i < sizeof theirs / sizeof *theirs; i++)
        error = v->lib.ub_ctx_zone_remove(v->ctx, theirs[i]);
    return error ? FAIL(why, RC_CONFIG, "libunbound: %s", v->lib.ub_strerror(error)) : RC_OK;
}

enum rc validator_open(const char *anchors, const struct name_servers *servers,
                       struct validator **out, struct why *why)
{
    struct validator *v = NEW(struct validator);
    enum rc rc;

    pthread_mutex_init(&v->lock, NULL);
    v->wake[0] = v->wake[1] = -1;
    rc = load(&v->lib, why);
    if (rc == RC_OK && (v->ctx = v->lib.ub_ctx_create()) == NULL)
        rc = FAIL(why, RC_TEMP, "libunbound cannot be set up");
    if (rc == RC_OK)
        rc = add_anchors(v, anchors, why);
    if (rc == RC_OK)
        rc = add_servers(v, servers, why);
    if (rc == RC_OK && pipe2(v->wake, O_CLOEXEC) < 0)
        rc = FAIL(why, RC_TEMP, "pipe: %m");
    if (rc == RC_OK)
        *out = v;
    else
        validator_free(v);
    return rc;
}

void validator_free(struct validator *v)
{
    if (v == NULL)
        return;
    if (v->runs) {
        (void)!write(v->wake[1], "", 1);
        pthread_join(v->thread, NULL);
    }
    if (v->ctx)
        v->lib.ub_ctx_delete(v->ctx);
    if (v->wake[0] >= 0) {
        close(v->wake[0]);
        close(v->wake[1]);
    }
    pthread_mutex_destroy(&v->lock);
    if (v->lib.handle)
        dlclose(v->lib.handle);
    free(v);
}

/* Answers come through a pipe of the library; ub_process() calls answered() for each. */
static void *pass_answers(void *context)
{
    struct validator *v = context;
    struct pollfd p[2] = {{.fd = v->lib.ub_fd(v->ctx), .events = POLLIN},
                          {.fd = v->wake[0], .events = POLLIN}};

    for (;;) {
        if (poll(p, 2, -1) < 0 && errno != EINTR)
            break;
        if (p[1].revents)
            break;
        if (p[0].revents && v->lib.ub_process(v->ctx))
            break;
    }
    return NULL;
}

static void answered(void *context, int error, struct ub_result *result)
{
    struct question *q = context;

    pthread_mutex_lock(&q->v->lock);
    q->error = error;
    q->result = result;
    q->done = true;
    pthread_cond_signal(&q->answered);
    pthread_mutex_unlock(&q->v->lock);
}

/* With the lock held. */
static bool start(struct validator *v)
{
    if (!v->runs)
        v->runs = pthread_create(&v->thread, NULL, pass_answers, v) == 0;
    return v->runs;
}

/* With the lock held. False: it took too long, and nobody will call answered() any more. */
static bool wait_for(struct question *q, long timeout_ms)
{
    long end = clock_ms() + timeout_ms;
    int error = 0;

    for (long left; !q->done && (left = end - clock_ms()) > 0;)
        clock_cond_wait(&q->answered, &q->v->lock, left);
    if (q->done)
        return true;
    pthread_mutex_unlock(&q->v->lock); /* the library calls answered() with a lock of its own */
    error = q->v->lib.ub_cancel(q->v->ctx, q->async_id);
    pthread_mutex_lock(&q->v->lock);
    while (error && !q->done) /* it was just being answered */
        pthread_cond_wait(&q->answered, &q->v->lock);
    return q->done;
}

static enum rc take(const struct ub_result *result, struct arena *a, struct str *bytes,
                    struct why *why)
{
    char *packet;

    if (result->bogus)
        return FAIL(why, RC_PERM, "DNSSEC validation failed: %s",
                    result->why_bogus ? result->why_bogus : "no reason known");
    if (result->answer_packet == NULL || result->answer_len < 12)
        return FAIL(why, RC_TEMP, "no answer (code %d)", result->rcode);
    packet = arena_text(a, (struct str){result->answer_packet, (size_t)result->answer_len});
    packet[AD_BYTE] = (char)(packet[AD_BYTE] & ~AD_BIT);
    if (result->secure)
        packet[AD_BYTE] = (char)(packet[AD_BYTE] | AD_BIT);
    *bytes = (struct str){packet, (size_t)result->answer_len};
    return RC_OK;
}

enum rc validator_ask(struct validator *v, struct str name, int type, long timeout_ms,
                      struct arena *a, struct str *bytes, struct why *why)
{
    struct question q = {.v = v};
    enum rc rc;
    int error;

    pthread_mutex_lock(&v->lock);
    if (!start(v)) {
        pthread_mutex_unlock(&v->lock);
        return FAIL(why, RC_TEMP, "no thread for DNSSEC validation");
    }
    pthread_mutex_unlock(&v->lock);
    clock_cond_init(&q.answered);
    error = v->lib.ub_resolve_async(v->ctx, name.n ? arena_text(a, name) : ".", type, CLASS_IN, &q,
                                    answered, &q.async_id);
    if (error) {
        rc = FAIL(why, RC_TEMP, "libunbound: %s", v->lib.ub_strerror(error));
    } else {
        pthread_mutex_lock(&v->lock);
        if (!wait_for(&q, timeout_ms))
            rc = FAIL(why, RC_TEMP, "no answer within %ld s", timeout_ms / 1000);
        else if (q.error || q.result == NULL)
            rc = FAIL(why, RC_TEMP, "libunbound: %s", v->lib.ub_strerror(q.error));
        else
            rc = take(q.result, a, bytes, why);
        pthread_mutex_unlock(&v->lock);
    }
    if (q.result)
        v->lib.ub_resolve_free(q.result);
    pthread_cond_destroy(&q.answered);
    return rc;
}

#else

enum rc validator_open(const char *anchors, const struct name_servers *servers,
                       struct validator **out, struct why *why)
{
    (void)anchors, (void)servers, (void)out;
    return FAIL(why, RC_CONFIG,
                "this build cannot validate DNSSEC; install libunbound-dev, then run: ./makedefs "
                "&& make && make install");
}

void validator_free(struct validator *v)
{
    (void)v;
}

enum rc validator_ask(struct validator *v, struct str name, int type, long timeout_ms,
                      struct arena *a, struct str *bytes, struct why *why)
{
    (void)v, (void)name, (void)type, (void)timeout_ms, (void)a, (void)bytes;
    return FAIL(why, RC_TEMP, "no DNSSEC validation in this build");
}

#endif
