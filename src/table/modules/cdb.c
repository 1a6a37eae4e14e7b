/*
 * cdb: constant databases. One mapping of the file, no locks, any number of threads. A table is
 * made as a whole; the file is replaced, never changed.
 */
#include <cdb.h>
#include <fcntl.h>
#include <unistd.h>

#include "table/driver.h"
#include "table/replace.h"
#include "util/file.h"

struct handle {
    const char *path;
    struct cdb cdb;
    int fd; /* -1: makes a new one */
    struct replacement made;
    struct cdb_make make;
    bool making;
    unsigned at; /* next() */
};

static void cdb_close_table(void *state)
{
    struct handle *h = state;

    if (h->fd >= 0) {
        cdb_free(&h->cdb);
        close(h->fd);
    }
    if (h->making) {
        (void)cdb_make_finish(&h->make); /* frees its memory; the file goes away */
        replacement_end(&h->made);
    }
}

static enum rc open_new(struct handle *h, struct arena *a, struct why *why)
{
    TRY(replacement_begin(&h->made, h->path, a, why));
    h->making = true;
    if (cdb_make_start(&h->make, h->made.fd) < 0)
        return FAIL(why, RC_TEMP, "initialize database %s: %m", h->made.tmp);
    return RC_OK;
}

static enum rc open_old(struct handle *h, struct why *why)
{
    int fd = open(h->path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return FAIL(why, RC_TEMP, "open database %s: %m", h->path);
    if (cdb_init(&h->cdb, fd) < 0) {
        close(fd);
        return FAIL(why, RC_TEMP, "open database %s: unable to init: %m", h->path);
    }
    h->fd = fd;
    return RC_OK;
}

static enum rc cdb_open(struct driver_open *o, struct why *why)
{
    struct handle *h = arena_new_of(o->arena, struct handle);
    enum rc rc;

    h->fd = h->made.fd = h->made.old_fd = -1;
    h->path = arena_text(o->arena, arena_printf(o->arena, STR_FMT ".cdb", STR_ARG(o->name)));
    o->watch_path = h->path;
    o->label = arena_text(o->arena, o->name);
    rc = o->flags & TABLE_CREATE ? open_new(h, o->arena, why) : open_old(h, why);
    if (rc != RC_OK) {
        cdb_close_table(h);
        return rc;
    }
    o->watch_fd = h->fd;
    o->state = h;
    return RC_OK;
}

static enum rc cdb_get_value(void *state, struct str key, struct arena *a, struct str *value,
                             struct why *why)
{
    const struct handle *h = state;
    struct cdb cdb = h->cdb; /* a search writes its result here; the mapping is shared */
    const void *bytes;
    int found;

    if (h->making)
        return FAIL(why, RC_PERM, "%s: no lookup while the table is made", h->path);
    found = cdb_find(&cdb, key.p, (unsigned)key.n);
    if (found == 0)
        return RC_NONE;
    if (found < 0 || (bytes = cdb_getdata(&cdb)) == NULL)
        return FAIL(why, RC_TEMP, "read database %s: %m", h->path);
    *value = arena_copy(a, (struct str){bytes, cdb_datalen(&cdb)});
    return RC_OK;
}

static enum rc cdb_put_pair(void *state, struct str key, struct str value, bool replace,
                            struct why *why)
{
    struct handle *h = state;
    int code;

    if (!h->making)
        return FAIL(why, RC_PERM, "%s: a cdb table cannot be changed", h->path);
    code = cdb_make_put(&h->make, key.p, (unsigned)key.n, value.p, (unsigned)value.n,
                        replace ? CDB_PUT_REPLACE0 : CDB_PUT_INSERT);
    if (code < 0)
        return FAIL(why, RC_TEMP, "write database %s: %m", h->made.tmp);
    return code > 0 && !replace ? RC_NONE : RC_OK;
}

static enum rc cdb_next(void *state, bool first, struct arena *a, struct str *key,
                        struct str *value, struct why *why)
{
    struct handle *h = state;
    const void *bytes;
    int code;

    if (h->making)
        return FAIL(why, RC_PERM, "%s: no listing while the table is made", h->path);
    if (first)
        cdb_seqinit(&h->at, &h->cdb);
    code = cdb_seqnext(&h->at, &h->cdb);
    if (code == 0)
        return RC_NONE;
    if (code < 0 || (bytes = cdb_getkey(&h->cdb)) == NULL)
        return FAIL(why, RC_TEMP, "read database %s: %m", h->path);
    *key = arena_copy(a, (struct str){bytes, cdb_keylen(&h->cdb)});
    bytes = cdb_getdata(&h->cdb);
    if (bytes == NULL)
        return FAIL(why, RC_TEMP, "read database %s: %m", h->path);
    *value = arena_copy(a, (struct str){bytes, cdb_datalen(&h->cdb)});
    return RC_OK;
}

static enum rc cdb_commit(void *state, struct why *why)
{
    struct handle *h = state;

    if (!h->making)
        return RC_OK;
    h->making = false;
    if (cdb_make_finish(&h->make) < 0) {
        enum rc rc = FAIL(why, RC_TEMP, "finish database %s: %m", h->made.tmp);
        replacement_end(&h->made);
        return rc;
    }
    TRY(replacement_commit(&h->made, why));
    replacement_end(&h->made);
    return RC_OK;
}

MODULE_EXPORT extern const struct table_driver table_driver_cdb;
const struct table_driver table_driver_cdb = {
    .type = "cdb",
    .flags = DRIVER_FOLDS | DRIVER_THREADS | DRIVER_CREATES | DRIVER_NUL,
    .open = cdb_open,
    .get = cdb_get_value,
    .put = cdb_put_pair,
    .next = cdb_next,
    .commit = cdb_commit,
    .close = cdb_close_table,
};
