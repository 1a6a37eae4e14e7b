/* What waits in the queue: for showq, and for commands when the system is down. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "queue/queue.h"
#include "queue/record.h"
#include "util/file.h"
#include "util/map.h"

enum { RECIPIENTS_PER_ENTRY = 100, ASK_TIMEOUT_MS = 10 * 1000 };

struct listing {
    const struct queue *q;
    const struct map *active;
    bool (*each)(void *context, const struct queue_entry *entry);
    void *context;
    struct str queue_name;
    struct map seen;     /* ids of incoming/: they may move to deferred/ while we look */
    struct arena *arena; /* of one message */
    bool stopped;
};

struct entry {
    struct queue_entry e;
    struct listing *l;
    VEC(struct listed_recipient) list;
    size_t max;        /* recipients in one entry */
    struct map logged; /* recipients that stood in a log */
};

static bool give(struct entry *e, bool more)
{
    e->e.recipients = e->list.v;
    e->e.n_recipients = e->list.n;
    e->e.more = more;
    if (!e->l->each(e->l->context, &e->e))
        e->l->stopped = true;
    e->list.n = 0;
    return !e->l->stopped;
}

static void add(struct entry *e, struct str original, struct str address, struct str log_class,
                struct str reason)
{
    struct listed_recipient r = {original, address, log_class, str_head(reason, 2048)};

    if (e->list.n == e->max)
        (void)give(e, true);
    vec_add(e->l->arena, &e->list, r);
}

static struct str key_of(struct entry *e, struct str original, struct str address)
{
    return arena_printf(e->l->arena, STR_FMT "\n" STR_FMT, STR_ARG(original), STR_ARG(address));
}

/* Recipients with a reason come first, in the order in which they were tried. */
static void add_logged(struct entry *e, struct str log_class)
{
    struct bounce_log_entry *found;
    struct why why;
    size_t n;

    if (bounce_log_read(e->l->q, log_class, e->e.queue_id, e->l->arena, &found, &n, &why) != RC_OK)
        return;
    for (size_t i = 0; i < n; i++) {
        const struct recipient *r = &found[i].recipient;
        struct str key = key_of(e, r->original, r->address);
        if (map_get(&e->logged, key))
            continue;
        map_put(&e->logged, key, e);
        add(e, r->original, r->address, log_class, found[i].dsn.reason);
    }
}

static void add_recipient(struct entry *e, struct str original, struct str address)
{
    if (original.n == 0)
        original = address;
    if (e->logged.n && map_get(&e->logged, key_of(e, original, address)))
        return;
    add(e, arena_copy(e->l->arena, original), arena_copy(e->l->arena, address), STR_NONE, STR_NONE);
}

/* Returns where the content ends; 0: not known. */
static long take_size(struct entry *e, struct str payload)
{
    long n[SIZES];

    record_sizes(payload, n);
    if (n[SIZE_DATA] > 0)
        e->e.size = n[SIZE_MESSAGE] > 0 ? n[SIZE_MESSAGE] : n[SIZE_DATA];
    return n[SIZE_OFFSET] > 0 && n[SIZE_DATA] >= 0 ? n[SIZE_OFFSET] + n[SIZE_DATA] : 0;
}

/* Stops at damage: what was readable is listed. */
static void read_records(struct entry *e, int fd, bool maildrop)
{
    struct str payload, original = STR_NONE;
    struct record_reader r;
    struct why why;
    int type;
    long data_end = 0;

    record_reader_init(&r, fd, e->l->arena, 0);
    while (record_read(&r, true, &type, &payload, &why) == RC_OK && type != REC_END) {
        struct str rest = payload;
        switch (type) {
        case REC_SIZE:
            if (!maildrop)
                data_end = take_size(e, payload);
            break;
        case REC_TIME: (void)str_to_long(str_cut(&rest, ' '), 0, LONG_MAX, &e->e.arrival); break;
        case REC_SENDER:
            e->e.sender = arena_copy(e->l->arena, payload);
            if (!maildrop) { /* the envelope's other facts stand before the recipients */
                add_logged(e, STR("defer"));
                add_logged(e, STR("bounce"));
            }
            break;
        case REC_ORCPT: original = arena_copy(e->l->arena, payload); break;
        case REC_RCPT:
            add_recipient(e, original, payload);
            original = STR_NONE;
            break;
        case REC_DONE:
        case REC_CANCELLED: original = STR_NONE; break;
        case REC_MESSAGE:
            if (data_end > 0)
                record_seek(&r, data_end);
            break;
        default: break;
        }
    }
}

/* Open and complete? Fills what the file's status tells. */
static int open_entry(struct entry *e, const char *path, struct stat *st)
{
    int fd = openat(e->l->q->dir, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0)
        return -1;
    if (fstat(fd, st) < 0 || !S_ISREG(st->st_mode) || !(st->st_mode & QUEUE_MODE_IS_READY)) {
        close(fd);
        return -1;
    }
    e->e.arrival = st->st_mtim.tv_sec;
    e->e.size = st->st_size;
    e->e.forced_expire = st->st_mode & QUEUE_MODE_FORCE_EXPIRE;
    return fd;
}

static bool list_file(void *context, struct str id, const char *path)
{
    struct listing *l = context;
    bool maildrop = str_eq(l->queue_name, STR("maildrop"));
    struct entry e = {
        .l = l, .max = RECIPIENTS_PER_ENTRY, .e = {.queue_name = l->queue_name, .queue_id = id}};
    struct stat st;

    if (!queue_id_is_valid(id) || map_get(&l->seen, id))
        return true;
    AUTO_CLOSE int fd = open_entry(&e, path, &st);
    if (fd < 0)
        return true;
    if (str_eq(l->queue_name, STR("incoming")))
        map_put(&l->seen, id, l);
    if (l->active && !maildrop && map_get(l->active, id))
        e.e.queue_name = STR("active");
    map_init(&e.logged);
    read_records(&e, fd, maildrop);
    (void)give(&e, false);
    map_done(&e.logged);
    arena_reset(l->arena);
    return !l->stopped;
}

enum rc queue_list_some(const struct queue *q, const char *const *queue_names, size_t n,
                        const struct map *active,
                        bool (*each)(void *context, const struct queue_entry *entry), void *context,
                        struct why *why)
{
    AUTO_ARENA arena = arena_new(16 * 1024);
    struct listing l = {.q = q, .active = active, .each = each, .context = context, .arena = arena};
    enum rc rc = RC_OK;

    map_init(&l.seen);
    for (size_t i = 0; i < n && rc == RC_OK && !l.stopped; i++) {
        l.queue_name = str_of(queue_names[i]);
        rc = queue_scan(q, l.queue_name, list_file, &l, why);
        if (rc == RC_NONE || (rc == RC_TEMP && strcmp(queue_names[i], "maildrop") == 0))
            rc = RC_OK; /* maildrop/ may be closed to us */
    }
    map_done(&l.seen);
    return rc;
}

enum rc queue_list(const struct queue *q, const struct map *active,
                   bool (*each)(void *context, const struct queue_entry *entry), void *context,
                   struct why *why)
{
    static const char *const names[] = {"maildrop", "active", "incoming", "deferred", "hold"};

    return queue_list_some(q, names, sizeof names / sizeof *names, active, each, context, why);
}

enum rc queue_list_file(const struct queue *q, struct str queue_name, struct str id,
                        struct arena *a, struct queue_entry *out, long *modified, struct why *why)
{
    struct listing l = {.q = q, .arena = a, .queue_name = queue_name};
    struct entry e = {.l = &l, .max = (size_t)-1, .e = {.queue_name = queue_name, .queue_id = id}};
    char path[QUEUE_PATH_SIZE];
    struct stat st;

    queue_path(q, queue_name, id, path);
    AUTO_CLOSE int fd = open_entry(&e, path, &st);
    if (fd < 0)
        return FAIL(why, RC_NONE, "open %s: %m", path);
    map_init(&e.logged);
    read_records(&e, fd, false);
    map_done(&e.logged);
    e.e.recipients = e.list.v;
    e.e.n_recipients = e.list.n;
    *out = e.e;
    *modified = st.st_mtim.tv_sec;
    return RC_OK;
}

enum rc queue_ask_active(struct str queue_directory, struct map *active, struct why *why)
{
    AUTO_ARENA a = arena_new(4096);
    struct qmgr_control question = {.operation = 'l'};
    struct queue_ids answer = {.more = true};
    struct ipc c;
    enum rc rc;

    TRY(ipc_connect(&c, queue_directory, "public/qmgr", ASK_TIMEOUT_MS, why));
    rc = ipc_send_qmgr_control(&c, &question, -1, why);
    while (rc == RC_OK && answer.more) {
        struct str id;
        rc = ipc_read_queue_ids(&c, a, &answer, NULL, why);
        while (rc == RC_OK && str_token(&answer.ids, " ", &id))
            map_put(active, id, active);
    }
    ipc_done(&c);
    return rc;
}
