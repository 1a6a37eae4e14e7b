/* Requests, and what is done for them: a mark in the mode of the file, and a word to qmgr. */
#include <fcntl.h>
#include <unistd.h>

#include "config/config.h"
#include "flush/flush.h"
#include "global/address.h"
#include "queue/index.h"
#include "queue/queue.h"
#include "table/table.h"
#include "util/file.h"
#include "util/memory.h"

enum { ANSWER_OK = 0, ANSWER_FAILED = -1, ANSWER_BAD = 3, ANSWER_DENIED = 4 };

struct flush_state {
    struct queue queue;
    struct queue_index_reader *index;
    struct match_list *domains; /* fast_flush_domains */
    struct service_pool *qmgr;
};

enum rc flush_start(struct service_env *env, void **state, struct why *why)
{
    struct table_env tables = {env->config, &env->log};
    struct flush_state *s = NEW(struct flush_state);

    TRY(queue_open(env->config, &s->queue, why));
    TRY(match_open("fast_flush_domains", env->config->fast_flush_domains, MATCH_DOMAIN,
                   match_parents(env->config, "fast_flush_domains"), &tables, &s->domains, why));
    s->index = queue_index_reader_new(&s->queue, env->config->data_directory);
    s->qmgr = service_pool_new(env, "public/qmgr");
    *state = s;
    return RC_OK;
}

/* RC_NONE: no such message waits. */
static enum rc release(struct flush_state *s, struct str id, struct arena *a, struct why *why)
{
    struct qmgr_control word = {.operation = 'n', .queue_id = id};
    struct status_reply reply;
    char path[QUEUE_PATH_SIZE];
    struct stat st;

    queue_path(&s->queue, STR("deferred"), id, path);
    AUTO_CLOSE int fd = openat(s->queue.dir, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return RC_NONE;
    if (fstat(fd, &st) < 0 || fchmod(fd, (st.st_mode & 07777) | QUEUE_MODE_UNTHROTTLE) < 0)
        return FAIL(why, RC_TEMP, "mark %s: %m", path);
    return service_pool_ask(s->qmgr, IPC_qmgr_control, &word, IPC_status_reply, a, &reply, why);
}

struct search {
    struct flush_state *state;
    struct str site;
    struct arena *arena;
    VEC(struct str) ids;
};

static bool is_for(const struct search *s, const struct queue_entry *e)
{
    for (size_t i = 0; i < e->n_recipients; i++)
        if (str_eq_nocase(address_split(e->recipients[i].address).domain, s->site))
            return true;
    return false;
}

static bool look_at(void *context, const struct queue_entry *e)
{
    struct search *s = context;
    struct str id;

    if (str_eq(e->queue_name, STR("deferred")) && is_for(s, e) &&
        (s->ids.n == 0 || !str_eq(s->ids.v[s->ids.n - 1], e->queue_id))) {
        id = arena_copy(s->arena, e->queue_id);
        vec_add(s->arena, &s->ids, id);
    }
    return true;
}

static enum rc find_messages(struct flush_state *s, struct search *search, struct why *why)
{
    struct queue_index *index = queue_index_reader_get(s->index);
    enum rc rc;

    if (index == NULL)
        return queue_list(&s->queue, NULL, look_at, search, why);
    rc = queue_index_site(index, search->site, search->arena, &search->ids.v, &search->ids.n, why);
    queue_index_reader_put(s->index);
    return rc;
}

static long send_site(struct flush_state *s, const struct log *log, struct str site,
                      struct arena *a)
{
    struct search search = {.state = s, .site = str_trim(site), .arena = a};
    struct why why = {0};

    if (search.site.n == 0 || search.site.n > 255 || str_index_any(search.site, " /\t@<>") >= 0)
        return ANSWER_BAD;
    switch (match_get(s->domains, search.site, &why)) {
    case RC_OK: break;
    case RC_NONE: return ANSWER_DENIED;
    default: log_warning(log, "fast_flush_domains: %s", why.text); return ANSWER_FAILED;
    }
    if (find_messages(s, &search, &why) != RC_OK) {
        log_warning(log, "%s", why.text);
        return ANSWER_FAILED;
    }
    for (size_t i = 0; i < search.ids.n; i++) {
        enum rc rc = release(s, search.ids.v[i], a, &why);
        if (rc != RC_OK && rc != RC_NONE) {
            log_warning(log, "flush " STR_FMT ": %s", STR_ARG(search.ids.v[i]), why.text);
            return ANSWER_FAILED;
        }
    }
    return ANSWER_OK;
}

static long send_file(struct flush_state *s, const struct log *log, struct str id, struct arena *a)
{
    struct why why = {0};
    enum rc rc;

    if (!queue_id_is_valid(id))
        return ANSWER_BAD;
    rc = release(s, id, a, &why);
    if (rc == RC_OK || rc == RC_NONE)
        return ANSWER_OK;
    log_warning(log, "flush " STR_FMT ": %s", STR_ARG(id), why.text);
    return ANSWER_FAILED;
}

static long answer(struct flush_state *s, const struct log *log, const struct flush_request *r,
                   struct arena *a)
{
    switch (r->operation) {
    case 's': return send_site(s, log, r->site, a);
    case 'f': return send_file(s, log, r->queue_id, a);
    case 'a': /* the index knows already */
    case 'r':
    case 'p': return ANSWER_OK;
    default: return ANSWER_BAD;
    }
}

static enum rc serve(struct service_env *env, void *state, struct ipc *c, struct arena *a,
                     struct why *why)
{
    struct flush_request request = {0};
    struct status_reply reply = {0};

    TRY(ipc_read_flush_request(c, a, &request, NULL, why));
    reply.status = answer(state, &env->log, &request, a);
    return ipc_send_status_reply(c, &reply, -1, why);
}

void flush_session(struct service_env *env, void *state, int fd)
{
    service_answer(env, state, fd, serve);
}

/* Purge and refresh triggers: nothing is kept here that could be out of date. */
void flush_wakeup(struct service_env *env, void *state, struct str requests)
{
    (void)env;
    (void)state;
    (void)requests;
}
