/*
 * The source is edited line by line, so that comments stay. The lock is on the source itself; who
 * gets it looks whether the name still means that file, for writers put a new one in its place.
 */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "postern-user/postern-user.h"
#include "table/source.h"
#include "table/table.h"
#include "util/buf.h"
#include "util/file.h"

enum { SOURCE_MAX = 256 * 1024 * 1024, SECRET_MODE = 0600 };

static bool is_still(const char *path, int fd)
{
    struct stat ours, there;

    return fstat(fd, &ours) == 0 && stat(path, &there) == 0 && ours.st_ino == there.st_ino &&
           ours.st_dev == there.st_dev;
}

static enum rc open_source(struct users *u, bool to_write, struct why *why)
{
    const int flags = to_write ? O_RDWR | O_CREAT : O_RDONLY;

    for (;;) {
        u->fd = open(u->path, flags | O_CLOEXEC, SECRET_MODE);
        if (u->fd < 0)
            return FAIL(why, RC_CONFIG, "open %s: %m", u->path);
        if (!to_write)
            return RC_OK;
        TRY(fd_lock(u->fd, true, true, why));
        if (is_still(u->path, u->fd))
            return RC_OK;
        close(u->fd);
    }
}

enum rc users_open(struct users *u, struct str type_name, bool to_write, struct why *why)
{
    struct str path = type_name;

    u->type = str_cut(&path, ':');
    if (path.n == 0)
        return FAIL(why, RC_CONFIG,
                    "\"" STR_FMT "\" is no table; write type:name, as texthash:/etc/postfix/users",
                    STR_ARG(type_name));
    if (!str_eq(u->type, STR("texthash")) && !table_type_is_writable(u->type))
        return FAIL(why, RC_CONFIG,
                    STR_FMT ": tables of this type are not made of a text file; its users are "
                            "kept with the tools of that database",
                    STR_ARG(type_name));
    u->path = arena_text(u->arena, path);
    TRY(open_source(u, to_write, why));
    return fd_read_all(u->fd, SOURCE_MAX, u->arena, &u->text, why);
}

void users_close(struct users *u)
{
    if (u->fd >= 0)
        close(u->fd);
    u->fd = -1;
}

/* ---- entries ---- */

static struct source source_of(const struct users *u)
{
    struct source s;

    source_init(&s, u->text);
    return s;
}

static const struct log *log_of(const struct users *u)
{
    return &u->command->log;
}

static bool is_name(const struct users *u, struct str key, struct str name)
{
    return str_eq(fold_case(u->arena, key, u->command->config->smtputf8_enable), name);
}

enum rc users_find(const struct users *u, struct str name, struct str *value, struct why *why)
{
    struct source s = source_of(u);
    struct str key;

    (void)why;
    while (source_entry(&s, u->path, true, log_of(u), u->arena, &key, value))
        if (is_name(u, key, name))
            return RC_OK;
    return RC_NONE;
}

void users_list(const struct users *u)
{
    struct source s = source_of(u);
    struct str key, value;

    while (source_entry(&s, u->path, true, log_of(u), u->arena, &key, &value))
        printf(STR_FMT "\n", STR_ARG(key));
}

/* Key of a line of the source; empty: a comment, or the line goes on with the one before. */
static struct str key_of(struct str line)
{
    struct str key, value;

    if (line.n == 0 || is_white(line.p[0]) || line.p[0] == '#' ||
        source_split(line, &key, &value, NULL) != RC_OK)
        return STR_NONE;
    return key;
}

static struct str with_entry(struct users *u, struct str name, struct str value)
{
    struct str rest = u->text;
    bool in_old = false, done = value.p == NULL;
    struct buf b;

    buf_init(&b, SOURCE_MAX);
    while (rest.n) {
        struct str line = str_cut(&rest, '\n'), key = key_of(line);
        if (line.n && !is_blank(line.p[0]) && line.p[0] != '#')
            in_old = key.n && is_name(u, key, name);
        else if (line.n && line.p[0] == '#')
            in_old = false;
        if (in_old && !done) {
            buf_addf(&b, STR_FMT "\t" STR_FMT "\n", STR_ARG(name), STR_ARG(value));
            done = true;
        }
        if (!in_old)
            buf_addf(&b, STR_FMT "\n", STR_ARG(line));
    }
    if (!done)
        buf_addf(&b, STR_FMT "\t" STR_FMT "\n", STR_ARG(name), STR_ARG(value));
    rest = arena_copy(u->arena, buf_str(&b));
    buf_done(&b);
    return rest;
}

/* ---- the table that is made of it ---- */

static enum rc fill_table(struct users *u, struct table *t, struct why *why)
{
    struct source s = source_of(u);
    struct str key, value;

    while (source_entry(&s, u->path, true, log_of(u), u->arena, &key, &value)) {
        enum rc rc = table_put(t, key, value, why);
        if (rc != RC_OK && rc != RC_NONE)
            return rc;
    }
    return table_commit(t, why);
}

static enum rc make_table(struct users *u, struct why *why)
{
    const struct table_env env = {u->command->config, log_of(u)};
    struct str name = arena_printf(u->arena, STR_FMT ":%s", STR_ARG(u->type), u->path);
    struct table *t = NULL;
    enum rc rc;

    if (str_eq(u->type, STR("texthash")))
        return RC_OK;
    TRY(table_open(name, TABLE_CREATE | TABLE_STRICT | TABLE_REPLACE, &env, &t, why));
    rc = fill_table(u, t, why);
    table_close(t);
    return rc;
}

enum rc users_set(struct users *u, struct str name, struct str value, struct why *why)
{
    u->text = with_entry(u, name, value);
    TRY(file_replace(u->path, u->text, SECRET_MODE, why));
    return make_table(u, why);
}
