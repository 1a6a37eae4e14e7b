#include "submit/spool_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "global/address.h"
#include "util/buf.h"
#include "util/file.h"

enum { BUFFER_BYTES = 64 * 1024, ENVELOPE_MAX = 64 * 1024 * 1024 };

enum rc spool_directory_check(const char *path, uid_t uid, struct why *why)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return FAIL(why, RC_CONFIG, "spool directory %s: %m; make it: mkdir -m 700 %s", path, path);
    if (!S_ISDIR(st.st_mode))
        return FAIL(why, RC_CONFIG, "spool directory %s: not a directory", path);
    if (st.st_mode & 077)
        return FAIL(why, RC_CONFIG,
                    "spool directory %s: mode %04o lets others in; run: chmod 700 %s", path,
                    st.st_mode & 07777, path);
    if (st.st_uid != uid)
        return FAIL(why, RC_CONFIG, "spool directory %s: owned by user %u; run: chown %u %s", path,
                    st.st_uid, uid, path);
    return RC_OK;
}

/* ---- writing ---- */

struct spool_writer {
    char *path;
    const char *name, *directory;
    int fd;
    bool has_body, committed;
    enum rc rc; /* of the first write that failed */
    struct why why;
    struct buf out;
};

static void flush(struct spool_writer *w)
{
    if (w->rc == RC_OK)
        w->rc = fd_write_all(w->fd, buf_str(&w->out), &w->why);
    buf_reset(&w->out);
}

static void put(struct spool_writer *w, struct str bytes)
{
    if (w->out.n + bytes.n > BUFFER_BYTES)
        flush(w);
    if (bytes.n <= BUFFER_BYTES) {
        buf_add(&w->out, bytes);
        return;
    }
    if (w->rc == RC_OK)
        w->rc = fd_write_all(w->fd, bytes, &w->why);
}

static void forget(void *writer)
{
    struct spool_writer *w = writer;

    if (!w->committed)
        unlink(w->path);
    if (w->fd >= 0)
        close(w->fd);
    buf_done(&w->out);
}

/* Names and addresses with line ends would be other lines. */
static void put_line(struct spool_writer *w, struct arena *a, const char *word, struct str address)
{
    struct str quoted = address_quote(a, address);

    if (str_index_any(quoted, "\r\n") >= 0 || quoted.n > SPOOL_LINE_MAX - 16) {
        w->rc = FAIL(&w->why, RC_PERM, "address with a line end, or too long");
        return;
    }
    put(w, arena_printf(a, "%s <" STR_FMT ">\n", word, STR_ARG(quoted)));
}

enum rc spool_create(const char *directory, struct str sender, struct arena *a,
                     struct spool_writer **out, struct why *why)
{
    struct spool_writer *w = arena_new_of(a, struct spool_writer);

    w->directory = arena_text(a, str_of(directory));
    w->path = arena_text(a, arena_printf(a, "%s/" SPOOL_PREFIX "XXXXXX", directory));
    w->name = w->path + strlen(directory) + 1;
    w->fd = mkostemp(w->path, O_CLOEXEC);
    if (w->fd < 0)
        return FAIL(why, RC_TEMP, "create a file in %s: %m", directory);
    buf_init(&w->out, BUFFER_BYTES);
    arena_defer(a, forget, w);
    put_line(w, a, "FROM", sender);
    *out = w;
    return RC_OK;
}

const char *spool_name(const struct spool_writer *w)
{
    return w->name;
}

void spool_recipient(struct spool_writer *w, struct str recipient)
{
    AUTO_ARENA a = arena_new(512);

    put_line(w, a, "RCPT", recipient);
}

void spool_content(struct spool_writer *w, struct str bytes)
{
    if (!w->has_body)
        put(w, STR("BODY\n"));
    w->has_body = true;
    put(w, bytes);
}

static enum rc sync_directory(const char *path, struct why *why)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || fsync(fd) < 0)
        return FAIL(why, RC_TEMP, "sync %s: %m", path);
    return RC_OK;
}

enum rc spool_commit(struct spool_writer *w, struct why *why)
{
    spool_content(w, STR(""));
    flush(w);
    if (w->rc != RC_OK)
        return FAIL(why, w->rc, "write %s: %s", w->path, w->why.text);
    if (fsync(w->fd) < 0 || fchmod(w->fd, SPOOL_MODE_COMPLETE) < 0 || fsync(w->fd) < 0)
        return FAIL(why, RC_TEMP, "sync %s: %m", w->path);
    TRY(sync_directory(w->directory, why));
    w->committed = true;
    return RC_OK;
}

/* ---- reading ---- */

static const struct {
    struct str word;
    enum spool_state state;
} states[] = {
    {STR_INIT("RCPT "), SPOOL_RCPT},
    {STR_INIT("SENT "), SPOOL_SENT},
    {STR_INIT("FAIL "), SPOOL_FAIL},
};

static struct str without_brackets(struct str address)
{
    address = str_trim(address);
    if (address.n >= 2 && address.p[0] == '<' && address.p[address.n - 1] == '>')
        address = (struct str){address.p + 1, address.n - 2};
    return address;
}

static enum rc parse_recipient(struct str line, off_t at, struct arena *a, struct spool_message *m,
                               struct why *why)
{
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        struct spool_recipient r = {.state = states[i].state, .at = at};
        if (!str_has_prefix(line, states[i].word))
            continue;
        r.address = arena_copy(a, without_brackets(str_from(line, states[i].word.n)));
        if (r.address.n == 0)
            return FAIL(why, RC_PERM, "recipient without an address");
        if (m->recipients.n == SPOOL_RECIPIENTS_MAX)
            return FAIL(why, RC_PERM, "more than %d recipients", SPOOL_RECIPIENTS_MAX);
        vec_add(a, &m->recipients, r);
        return RC_OK;
    }
    return FAIL(why, RC_PERM, "no FROM, RCPT, SENT, FAIL or BODY at offset %ld", (long)at);
}

enum rc spool_parse(struct str text, struct arena *a, struct spool_message *m, struct why *why)
{
    struct str rest = text;
    bool has_from = false;

    *m = (struct spool_message){0};
    for (;;) {
        off_t at = (off_t)(text.n - rest.n);
        ssize_t end = str_index(rest, '\n');
        struct str line = str_head(rest, end < 0 ? rest.n : (size_t)end);
        if (line.n > SPOOL_LINE_MAX)
            return FAIL(why, RC_PERM, "line longer than %d bytes", SPOOL_LINE_MAX);
        if (end < 0)
            return FAIL(why, RC_PERM, "no BODY line");
        if (str_index(line, '\0') >= 0)
            return FAIL(why, RC_PERM, "NUL byte in the envelope");
        rest = str_from(rest, (size_t)end + 1);
        if (!has_from) {
            if (!str_has_prefix(line, STR("FROM ")))
                return FAIL(why, RC_PERM, "no FROM line");
            m->sender = arena_copy(a, without_brackets(str_from(line, 5)));
            has_from = true;
        } else if (str_eq(str_rtrim(line), STR("BODY"))) {
            m->body = (off_t)(text.n - rest.n);
            return m->recipients.n ? RC_OK : FAIL(why, RC_PERM, "no recipient");
        } else {
            TRY(parse_recipient(line, at, a, m, why));
        }
    }
}

/* As much of the file as the envelope needs. */
enum rc spool_read(int fd, struct arena *a, struct spool_message *m, struct why *why)
{
    AUTO_BUF b = {0};
    enum rc rc;

    buf_init(&b, ENVELOPE_MAX);
    for (;;) {
        char *room = buf_room(&b, BUFFER_BYTES);
        ssize_t n = room ? pread(fd, room, BUFFER_BYTES, (off_t)b.n) : 0;
        if (n < 0)
            return FAIL(why, RC_TEMP, "read: %m");
        b.n += (size_t)n;
        rc = spool_parse(buf_str(&b), a, m, why);
        /* cut off in the middle of the envelope, perhaps */
        if (rc == RC_OK || n == 0)
            return rc;
    }
}

enum rc spool_mark(int fd, struct spool_recipient *r, enum spool_state state, struct why *why)
{
    ssize_t n = pwrite(fd, states[state].word.p, states[state].word.n, r->at);

    if (n != (ssize_t)states[state].word.n)
        return FAIL(why, RC_TEMP, "write: %m");
    r->state = state;
    return RC_OK;
}
