/*
 * Log files of bounce, defer and trace: a block of name=value lines for each recipient, blocks
 * parted by empty lines. One line before each block is for people ("<recipient>: reason").
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "queue/queue.h"
#include "util/file.h"

enum { BLOCK_MAX = 64 * 1024, FILE_MAX = 64 * 1024 * 1024, MODE_LOG = 0600 };

/* Control bytes would end the line or the block. */
static void add_line(struct buf *b, const char *name, struct str value)
{
    size_t start;

    if (value.n == 0)
        return;
    buf_addf(b, "%s=", name);
    start = b->n;
    buf_add(b, value);
    for (size_t i = start; i < b->n; i++)
        if ((unsigned char)b->p[i] < ' ' || b->p[i] == 127)
            b->p[i] = '?';
    buf_addc(b, '\n');
}

static void add_block(struct buf *b, const struct recipient *r, const struct dsn *d,
                      bool compatible)
{
    struct str address = r->address.n ? r->address : STR("<>");

    buf_addc(b, '\n');
    if (compatible) {
        size_t start = b->n;
        buf_addf(b, r->address.n ? "<" STR_FMT ">: " STR_FMT : STR_FMT ": " STR_FMT,
                 STR_ARG(address), STR_ARG(d->reason));
        for (size_t i = start; i < b->n; i++)
            if ((unsigned char)b->p[i] < ' ')
                b->p[i] = '?';
        buf_addc(b, '\n');
    }
    add_line(b, "recipient", address);
    if (r->original.n && !str_eq_nocase(r->original, r->address))
        add_line(b, "original_recipient", r->original);
    if (r->offset > 0)
        buf_addf(b, "offset=%ld\n", r->offset);
    add_line(b, "dsn_orig_rcpt", r->dsn_orcpt);
    if (r->dsn_notify)
        buf_addf(b, "notify_flags=%ld\n", r->dsn_notify);
    add_line(b, "status", d->status);
    add_line(b, "action", d->action);
    add_line(b, "diag_type", d->diag_type);
    add_line(b, "diag_text", d->diag_text);
    add_line(b, "mta_type", d->mta_type);
    add_line(b, "mta_mname", d->mta_name);
    add_line(b, "reason", d->reason);
    buf_addc(b, '\n');
}

static int open_log(const struct queue *q, const char *path, struct why *why)
{
    int flags = O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW;
    int fd = openat(q->dir, path, flags, MODE_LOG);

    if (fd < 0 && errno == ENOENT && queue_make_directories(q, path, why) == RC_OK)
        fd = openat(q->dir, path, flags, MODE_LOG);
    if (fd < 0)
        why_set(why, RC_TEMP, "open %s: %m", path);
    return fd;
}

enum rc bounce_log_append(const struct queue *q, struct str log_class, struct str id,
                          const struct recipient *r, const struct dsn *d, bool compatible,
                          struct why *why)
{
    char path[QUEUE_PATH_SIZE];
    struct stat st;
    AUTO_BUF block;

    buf_init(&block, BLOCK_MAX);
    add_block(&block, r, d, compatible);
    queue_path(q, log_class, id, path);
    AUTO_CLOSE int fd = open_log(q, path, why);
    if (fd < 0)
        return RC_TEMP;
    TRY(fd_lock(fd, true, true, why));
    TRY(file_stat(fd, &st, why));
    if (fd_write_all(fd, buf_str(&block), why) != RC_OK) {
        why_prefix(why, "%s", path);
        if (ftruncate(fd, st.st_size) < 0)
            return FAIL(why, RC_TEMP, "%s: cannot take back half a record: %m", path);
        return RC_TEMP;
    }
    /* The recipient will be marked as done: from then on this file is all that tells the sender. */
    if (str_eq(log_class, STR("bounce")) && fdatasync(fd) < 0)
        return FAIL(why, RC_TEMP, "sync %s: %m", path);
    return RC_OK;
}

static void take_line(struct bounce_log_entry *e, struct str line)
{
    static const struct {
        const char *name;
        size_t offset;
    } texts[] = {
        {"recipient", offsetof(struct bounce_log_entry, recipient.address)},
        {"original_recipient", offsetof(struct bounce_log_entry, recipient.original)},
        {"dsn_orig_rcpt", offsetof(struct bounce_log_entry, recipient.dsn_orcpt)},
        {"status", offsetof(struct bounce_log_entry, dsn.status)},
        {"action", offsetof(struct bounce_log_entry, dsn.action)},
        {"diag_type", offsetof(struct bounce_log_entry, dsn.diag_type)},
        {"diag_text", offsetof(struct bounce_log_entry, dsn.diag_text)},
        {"mta_type", offsetof(struct bounce_log_entry, dsn.mta_type)},
        {"mta_mname", offsetof(struct bounce_log_entry, dsn.mta_name)},
        {"reason", offsetof(struct bounce_log_entry, dsn.reason)},
    };
    struct str value = line, name = str_cut(&value, '=');

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (str_eq(name, str_of(texts[i].name)))
            *(struct str *)((char *)e + texts[i].offset) = value;
    if (str_eq(name, STR("offset")))
        (void)str_to_long(value, 0, LONG_MAX, &e->recipient.offset);
    else if (str_eq(name, STR("notify_flags")))
        (void)str_to_long(value, 0, 15, &e->recipient.dsn_notify);
}

void bounce_log_parse(struct str text, struct arena *a, struct bounce_log_entry **entries,
                      size_t *n)
{
    VEC(struct bounce_log_entry) list = {0};
    struct bounce_log_entry e = {0};

    while (text.n) {
        struct str line = str_cut(&text, '\n');
        if (line.n && line.p[0] != '<')
            take_line(&e, line);
        if (line.n && text.n) /* the block goes on */
            continue;
        if (e.recipient.address.n) {
            if (str_eq(e.recipient.address, STR("<>")))
                e.recipient.address = STR("");
            if (e.recipient.original.p == NULL)
                e.recipient.original = e.recipient.address;
            vec_add(a, &list, e);
        }
        e = (struct bounce_log_entry){0};
    }
    *entries = list.v;
    *n = list.n;
}

/* These texts are shown to people: nothing but lines of printable characters. */
static void make_printable(char *p, size_t n)
{
    bool utf8 = str_is_utf8((struct str){p, n});

    for (size_t i = 0; i < n; i++)
        if (((unsigned char)p[i] < ' ' && p[i] != '\n') || p[i] == 127)
            p[i] = '?';
    for (size_t i = 0, length = 0; !utf8 && i < n; i += length) {
        unsigned char c = (unsigned char)p[i];
        length = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
        if (length <= n - i && str_is_utf8((struct str){p + i, length}))
            continue;
        p[i] = '?';
        length = 1;
    }
}

enum rc bounce_log_read(const struct queue *q, struct str log_class, struct str id, struct arena *a,
                        struct bounce_log_entry **entries, size_t *n, struct why *why)
{
    char path[QUEUE_PATH_SIZE];
    struct str text = {0};

    queue_path(q, log_class, id, path);
    AUTO_CLOSE int fd = openat(q->dir, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return FAIL(why, errno == ENOENT ? RC_NONE : RC_TEMP, "open %s: %m", path);
    TRY(fd_lock(fd, false, true, why));
    TRY(fd_read_all(fd, FILE_MAX, a, &text, why));
    make_printable((char *)text.p, text.n);
    bounce_log_parse(text, a, entries, n);
    return RC_OK;
}

enum rc bounce_log_remove(const struct queue *q, struct str log_class, struct str id,
                          struct why *why)
{
    return queue_remove(q, log_class, id, why);
}
