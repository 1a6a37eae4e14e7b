/*
 * showq - list the queue for postqueue(1).
 *
 * Each connection gets one frame for each message, or several when it has very many recipients, and
 * an empty one at the end.
 */
#include <unistd.h>

#include "config/config.h"
#include "queue/index.h"
#include "queue/queue.h"
#include "service/service.h"
#include "util/map.h"
#include "util/memory.h"

struct showq_state {
    struct queue queue;
    struct queue_index_reader *index;
};

struct listing {
    struct ipc client;
    struct why why;
};

static bool send_entry(void *context, const struct queue_entry *entry)
{
    struct listing *l = context;

    return ipc_send_queue_entry(&l->client, entry, -1, &l->why) == RC_OK;
}

static enum rc list(struct showq_state *s, const struct map *active, struct listing *l,
                    struct why *why)
{
    struct queue_index *index = queue_index_reader_get(s->index);
    enum rc rc;

    if (index == NULL)
        return queue_list(&s->queue, active, send_entry, l, why);
    rc = queue_index_list_queue(index, &s->queue, active, send_entry, l, why);
    queue_index_reader_put(s->index);
    return rc;
}

static void session(struct service_env *env, void *state, int fd)
{
    struct listing l = {0};
    struct map active;
    struct why why = {0};

    ipc_init(&l.client, dup(fd), env->config->ipc_timeout * 1000);
    map_init(&active);
    if (queue_ask_active(env->config->queue_directory, &active, &why) != RC_OK)
        log_warning(&env->log, "queue manager: %s", why.text);
    if (list(state, &active, &l, &why) != RC_OK)
        log_warning(&env->log, "%s", why.text);
    else if (l.why.rc == RC_OK)
        (void)!send_entry(&l, &(struct queue_entry){0});
    map_done(&active);
    ipc_done(&l.client);
}

static enum rc start(struct service_env *env, void **state, struct why *why)
{
    struct showq_state *s = NEW(struct showq_state);

    *state = s;
    s->index = queue_index_reader_new(&s->queue, env->config->data_directory);
    return queue_open(env->config, &s->queue, why);
}

static const struct service showq = {
    .name = "showq",
    .shape = SERVICE_SESSION,
    .privilege = RUN_AS_MAIL_OWNER,
    .may = MAY_WRITE_DATA, /* readers of the index stand in a table of its lock file */
    .start = start,
    .session = session,
};

int main(int argc, char **argv)
{
    return service_main(&showq, argc, argv);
}
