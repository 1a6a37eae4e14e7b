/* The message that a notification is about. */
#include <fcntl.h>
#include <unistd.h>

#include "bounce/bounce.h"
#include "global/header.h"
#include "util/file.h"

static void close_original(void *context)
{
    int *fd = context;

    fd_cleanup(fd);
}

static int open_somewhere(const struct notice *n)
{
    const struct str places[] = {n->request->queue_name, STR("incoming"), STR("active"),
                                 STR("deferred"), STR("hold")};
    char path[QUEUE_PATH_SIZE];

    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        int fd;
        if (places[i].n == 0 || str_index(places[i], '/') >= 0 || places[i].p[0] == '.')
            continue;
        queue_path(&n->state->queue, places[i], n->request->queue_id, path);
        fd = openat(n->state->queue.dir, path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        if (fd >= 0)
            return fd;
    }
    return -1;
}

void original_open(struct notice *n)
{
    struct original *o = &n->original;
    struct message_ready m = {0};
    struct envelope_rest rest;
    struct why why = {0};

    *o = (struct original){.fd = open_somewhere(n)};
    if (o->fd < 0)
        return;
    if (queue_file_read_envelope(o->fd, n->request->queue_id, 1, n->arena, &m, &rest, &why) !=
        RC_OK) {
        log_warning(&n->log, "message of a notification: %s", why.text);
        fd_cleanup(&o->fd);
        o->fd = -1;
        return;
    }
    o->arrival = (struct timespec){m.arrival_sec, m.arrival_usec * 1000};
    o->data_offset = m.data_offset;
    o->size = m.size;
    int *held = arena_new_of(n->arena, int);
    *held = o->fd;
    arena_defer(n->arena, close_original, held);
}

/* Next content line or piece of one. RC_NONE at the end, or when the file is damaged. */
static enum rc next_piece(struct record_reader *r, struct str *text, bool *more, struct why *why)
{
    int type;

    do {
        enum rc rc = record_read(r, true, &type, text, why);
        if (rc != RC_OK)
            return rc == RC_TEMP ? RC_TEMP : RC_NONE;
        if (type == REC_EXTRACTED || type == REC_END)
            return RC_NONE;
    } while (type != REC_NORM && type != REC_CONT);
    *more = type == REC_CONT;
    return RC_OK;
}

enum rc original_copy(struct notice *n, struct post *to, bool headers_only, long limit,
                      struct why *why)
{
    struct record_reader r;
    bool more = false, line_start = true;
    struct str text;
    enum rc rc;

    record_reader_init(&r, n->original.fd, n->arena, n->original.data_offset);
    record_reader_unpack(&r, n->state->queue.keys);
    while ((rc = next_piece(&r, &text, &more, why)) == RC_OK) {
        if (line_start && headers_only && !is_blank(text.n ? text.p[0] : '\n') &&
            header_name_length(text) == 0)
            break;
        limit -= (long)text.n + 1;
        if (limit < 0 && headers_only)
            break;
        post_line(to, text, more);
        line_start = !more;
    }
    if (!line_start)
        post_line(to, STR(""), false);
    return rc == RC_TEMP ? rc : RC_OK;
}

struct str original_header(struct notice *n, const char *name)
{
    enum { HEADER_MAX = 16 * 1024 };
    struct record_reader r;
    bool more = false, line_start = true, found = false;
    struct str text;
    struct buf value;
    struct why why;

    if (n->original.fd < 0)
        return STR("");
    buf_init(&value, HEADER_MAX);
    record_reader_init(&r, n->original.fd, n->arena, n->original.data_offset);
    record_reader_unpack(&r, n->state->queue.keys);
    while (next_piece(&r, &text, &more, &why) == RC_OK) {
        if (line_start && !is_blank(text.n ? text.p[0] : '\n')) {
            size_t length = header_name_length(text);
            if (found || length == 0)
                break;
            found = str_eq_nocase(str_head(text, length), str_of(name));
            if (found)
                text = header_body(text);
        }
        if (found)
            buf_add(&value, text);
        line_start = !more;
    }
    text = arena_copy(n->arena, value.over ? STR("") : str_trim(buf_str(&value)));
    buf_done(&value);
    return text;
}
