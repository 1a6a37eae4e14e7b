/* Messages of our own, over a kept connection to the cleanup service. */
#include "deliver/post.h"

#include <stdio.h>

#include "config/config.h"
#include "global/date.h"
#include "global/dsn.h"
#include "util/clock.h"

enum { TEXT_MAX = 65536, TEXT_FULL = TEXT_MAX - 8192, PIECE_MAX = 4096, RECIPIENTS_MAX = 1000 };

struct post {
    struct service_pool *pool;
    struct ipc connection;
    bool open; /* connection is ours */
    struct arena *arena;
    struct str queue_id;
    struct buf text;
    enum rc rc; /* sticky */
    struct why why;
};

struct service_pool *post_pool(const struct service_env *env)
{
    char socket[256];

    snprintf(socket, sizeof socket, "public/" STR_FMT, STR_ARG(env->config->cleanup_service_name));
    return service_pool_new(env, socket);
}

static void give_back(struct post *p, bool broken)
{
    if (p->open)
        service_pool_give(p->pool, &p->connection, broken);
    p->open = false;
}

static void post_abandon(void *context)
{
    struct post *p = context;

    give_back(p, true); /* cleanup drops what was not ended */
    buf_done(&p->text);
}

/* A kept connection may turn out to be closed: then once more on a new one. */
static enum rc begin(struct post *p, const struct submit_begin *begin, struct submit_begun *begun,
                     struct why *why)
{
    enum rc rc = RC_TEMP;

    for (int attempt = 0; attempt < 2; attempt++) {
        TRY(service_pool_take(p->pool, &p->connection, why));
        p->open = true;
        rc = ipc_send_submit_begin(&p->connection, begin, -1, why);
        if (rc == RC_OK)
            rc = ipc_read_submit_begun(&p->connection, p->arena, begun, NULL, why);
        if (rc == RC_OK)
            break;
        give_back(p, true);
        if (rc != RC_EOF)
            break;
    }
    return rc;
}

static enum rc send_recipients(struct post *p, const struct post_envelope *e, struct why *why)
{
    for (size_t i = 0; i < e->n_recipients; i += RECIPIENTS_MAX) {
        size_t n = e->n_recipients - i;
        struct submit_recipients part = {(struct recipient *)e->recipients + i,
                                         n < RECIPIENTS_MAX ? n : RECIPIENTS_MAX};
        TRY(ipc_send_submit_recipients(&p->connection, &part, -1, why));
    }
    return RC_OK;
}

static void add_received(struct post *p, const struct config *config)
{
    char date[DATE_SIZE];

    date_rfc5322(date, clock_seconds());
    post_linef(p, "Received: by " STR_FMT " (" STR_FMT ")", STR_ARG(config->myhostname),
               STR_ARG(config->mail_name));
    post_linef(p, "\tid " STR_FMT "; %s", STR_ARG(p->queue_id), date);
}

enum rc post_open(const struct service_env *env, struct service_pool *cleanup,
                  const struct post_envelope *e, struct arena *a, struct post **out,
                  struct why *why)
{
    struct post *p = arena_new_of(a, struct post);
    struct submit_begin message = e->begin;
    struct submit_begun begun = {0};

    p->pool = cleanup;
    p->arena = a;
    buf_init(&p->text, TEXT_MAX);
    arena_defer(a, post_abandon, p);
    message.flags |= submit_flags_for(env->config, e->source);
    if (message.arrival_sec == 0) {
        struct timespec now = clock_now();
        message.arrival_sec = now.tv_sec;
        message.arrival_usec = now.tv_nsec / 1000;
    }
    TRY(begin(p, &message, &begun, why));
    if (begun.status != 0)
        return FAIL(why, RC_TEMP, "cleanup service: " STR_FMT, STR_ARG(begun.text));
    p->queue_id = arena_copy(a, begun.queue_id);
    TRY(send_recipients(p, e, why));
    if (!e->resent)
        add_received(p, env->config);
    *out = p;
    return RC_OK;
}

const char *post_queue_id(const struct post *p)
{
    return p->queue_id.p;
}

static void send_text(struct post *p)
{
    struct submit_text text = {buf_str(&p->text)};

    if (p->rc == RC_OK && text.records.n)
        p->rc = ipc_send_submit_text(&p->connection, &text, -1, &p->why);
    buf_reset(&p->text);
}

void post_line(struct post *p, struct str line, bool more)
{
    while (p->rc == RC_OK) {
        bool last = line.n <= PIECE_MAX;
        record_put(&p->text, last && !more ? REC_NORM : REC_CONT, str_head(line, PIECE_MAX));
        if (p->text.n > TEXT_FULL)
            send_text(p);
        if (last)
            break;
        line = str_from(line, PIECE_MAX);
    }
}

void post_linef(struct post *p, const char *format, ...)
{
    va_list args;
    AUTO_BUF b;

    buf_init(&b, TEXT_MAX);
    va_start(args, format);
    buf_vaddf(&b, format, args);
    va_end(args);
    post_line(p, buf_str(&b), false);
}

enum rc post_finish(struct post *p, struct why *why)
{
    struct submit_done done = {0};
    struct submit_end end = {0};

    send_text(p);
    if (p->rc == RC_OK)
        p->rc = ipc_send_submit_end(&p->connection, &end, -1, &p->why);
    if (p->rc == RC_OK)
        p->rc = ipc_read_submit_done(&p->connection, p->arena, &done, NULL, &p->why);
    give_back(p, p->rc != RC_OK);
    if (p->rc != RC_OK)
        return FAIL(why, RC_TEMP, "cleanup service: %s", p->why.text);
    if (done.status != 0) {
        const struct submit_outcome *o = submit_outcome((unsigned)done.status);
        if (dsn_prefix(done.reason))
            why_set(why, RC_PERM, STR_FMT, STR_ARG(done.reason));
        else
            why_set(why, RC_PERM, "%s %s", o->dsn, o->text);
        return o->dsn[0] == '5' ? RC_PERM : RC_TEMP;
    }
    return RC_OK;
}
