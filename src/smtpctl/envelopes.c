/*
 * The queue as envelopes: one for each recipient. A message's number is made of its queue id, an
 * envelope's of that and its recipient, so that both are the same whenever and by whomever they are
 * made.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "smtpctl/smtpctl.h"
#include "util/file.h"

enum { RECIPIENTS_MAX = 1000 * 1000 };

struct walk {
    struct smtpctl *s;
    struct arena *arena; /* of one message */
    struct map active;   /* ids that qmgr has in memory */
    struct str queue_name;
    bool (*each)(void *context, struct message *m);
    void *context;
    bool stopped;
};

static unsigned fold(unsigned long hash)
{
    unsigned n = (unsigned)(hash ^ hash >> 32);

    return n ? n : 1; /* zero is no identifier */
}

unsigned message_number(struct str queue_id)
{
    return fold(str_hash(queue_id));
}

unsigned long envelope_number(unsigned message, const struct recipient *r)
{
    AUTO_ARENA a = arena_new(512);
    struct str text =
        arena_printf(a, STR_FMT "\n" STR_FMT, STR_ARG(r->original), STR_ARG(r->address));

    return (unsigned long)message << 32 | fold(str_hash(text));
}

void queue_begin(struct smtpctl *s)
{
    struct why why = {0};

    if (queue_open(s->command.config, &s->queue, &why) != RC_OK)
        log_fatal(&s->command.log, STATUS_FAILED, "%s", why.text);
    s->queue.compresses = false; /* what is copied stays as it is, record for record */
    s->queue.keys = NULL;
}

static struct str reason_of(const struct recipient *r, const struct bounce_log_entry *log, size_t n)
{
    for (size_t i = n; i-- > 0;) /* the latest */
        if (str_eq(log[i].recipient.address, r->address))
            return log[i].dsn.reason;
    return STR_NONE;
}

static void add_envelopes(struct walk *w, struct message *m)
{
    struct bounce_log_entry *log = NULL;
    char path[QUEUE_PATH_SIZE];
    struct stat st;
    struct why why;
    size_t n = 0;

    if (bounce_log_read(&w->s->queue, STR("defer"), m->queue_id, w->arena, &log, &n, &why) != RC_OK)
        n = 0;
    queue_path(&w->s->queue, STR("defer"), m->queue_id, path);
    if (fstatat(w->s->queue.dir, path, &st, 0) == 0)
        m->last_attempt = st.st_mtim.tv_sec;
    m->envelopes = arena_array(w->arena, struct envelope, m->m.n_recipients + 1);
    for (size_t i = 0; i < m->m.n_recipients; i++) {
        const struct recipient *r = &m->m.recipients[i];
        m->envelopes[m->n++] =
            (struct envelope){envelope_number(m->id, r), r, reason_of(r, log, n)};
    }
}

static bool look(void *context, struct str id, const char *path)
{
    struct walk *w = context;
    AUTO_CLOSE int fd =
        openat(w->s->queue.dir, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct message m = {
        .queue_name = w->queue_name, .queue_id = id, .path = path, .fd = fd, .arena = w->arena};
    struct envelope_rest rest;
    struct stat st;
    struct why why;

    if (fd < 0 || !queue_id_is_valid(id) || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
        !(st.st_mode & QUEUE_MODE_IS_READY))
        return true;
    if (queue_file_read_envelope(fd, id, RECIPIENTS_MAX, w->arena, &m.m, &rest, &why) == RC_OK) {
        queue_file_read_notes(fd, &m.notes);
        m.id = message_number(m.notes.split_from[0] ? str_of(m.notes.split_from) : id);
        m.active = map_get(&w->active, id) != NULL;
        m.next_attempt = str_eq(w->queue_name, STR("deferred")) ? st.st_mtim.tv_sec : 0;
        add_envelopes(w, &m);
        w->stopped = !w->each(w->context, &m);
    }
    arena_reset(w->arena);
    return !w->stopped;
}

void queue_walk(struct smtpctl *s, bool (*each)(void *context, struct message *m), void *context)
{
    static const char *const names[] = {"incoming", "active", "deferred", "hold"};
    struct walk w = {.s = s, .arena = arena_new(64 * 1024), .each = each, .context = context};
    struct why why = {0};

    map_init(&w.active);
    if (s->running &&
        queue_ask_active(s->command.config->queue_directory, &w.active, &why) != RC_OK)
        log_warning(&s->command.log, "queue manager: %s", why.text);
    for (size_t i = 0; i < sizeof names / sizeof *names && !w.stopped; i++) {
        w.queue_name = str_of(names[i]);
        if (queue_scan(&s->queue, w.queue_name, look, &w, &why) == RC_TEMP)
            log_fatal(&s->command.log, STATUS_FAILED, "%s", why.text);
    }
    map_done(&w.active);
    arena_free(w.arena);
}

/* ---- identifiers on the command line ---- */

static bool is_in_queue(const struct smtpctl *s, struct str id)
{
    static const char *const names[] = {"incoming", "active", "deferred", "hold", "corrupt"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[QUEUE_PATH_SIZE];
        queue_path(&s->queue, str_of(names[i]), id, path);
        if (faccessat(s->queue.dir, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
            return true;
    }
    return false;
}

struct selection selection_of(struct smtpctl *s, const char *text)
{
    struct str word = str_of(text);
    unsigned long number;
    char *end;

    if (str_eq(word, STR("all")))
        return (struct selection){.all = true};
    if (queue_id_is_valid(word) && is_in_queue(s, word))
        return (struct selection){.queue_id = word};
    errno = 0;
    number = strtoul(text, &end, 16);
    if (errno || *end || end == text || number == 0 || word.n > 16 || text[0] == '-' ||
        text[0] == '+') {
        fputs("smtpctl: invalid msgid/evpid\n", stderr);
        exit(STATUS_FAILED);
    }
    if (word.n <= 8)
        return (struct selection){.message = (unsigned)number};
    return (struct selection){.message = (unsigned)(number >> 32), .envelope = number};
}

bool selection_has_message(const struct selection *x, const struct message *m)
{
    return x->all || (x->queue_id.p ? str_eq(x->queue_id, m->queue_id) : x->message == m->id);
}

bool selection_has(const struct selection *x, const struct envelope *e)
{
    return x->envelope == 0 || x->envelope == e->id;
}
