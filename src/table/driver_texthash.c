/* texthash: the source text that postmap(1) takes, read into memory when the table is opened. */
#include "table/driver.h"
#include "table/memtable.h"
#include "table/source.h"
#include "util/file.h"

enum { TEXTHASH_MAX = 1024 * 1024 * 1024 };

static void warn(const struct driver_open *o, long line, const char *text)
{
    if (o->env->log)
        log_warning(o->env->log, STR_FMT ", line %ld: %s", STR_ARG(o->name), line, text);
}

static void load_line(struct driver_open *o, struct memtable *m, struct str line, long number)
{
    bool utf8 = o->flags & TABLE_UTF8;
    struct str key, value;
    struct why why;

    if (utf8 && !str_is_utf8(line)) {
        why_set(&why, RC_PERM, "non-UTF-8 input \"" STR_FMT "\" -- ignoring this line",
                STR_ARG(line));
        warn(o, number, why.text);
        return;
    }
    if (source_split(line, &key, &value, &why) != RC_OK ||
        ((o->flags & TABLE_BASE64) &&
         source_value_of_files(value, o->arena, &value, &why) != RC_OK)) {
        warn(o, number, why.text);
        return;
    }
    if (key.p[key.n - 1] == ':')
        warn(o, number, "record is in \"key: value\" format; is this an alias file?");
    if (!(o->flags & TABLE_FOLD_KEEP))
        key = fold_case(o->arena, key, utf8);
    if (map_get(&m->map, key)) {
        why_set(&why, RC_NONE, "duplicate entry: \"" STR_FMT "\"", STR_ARG(key));
        warn(o, number, why.text);
        return;
    }
    memtable_put(m, o->arena, key, value);
}

static enum rc texthash_open(struct driver_open *o, struct why *why)
{
    struct memtable *m = memtable_new(o->arena);
    struct source source;
    struct str text, line;
    enum rc rc;

    o->watch_path = arena_text(o->arena, o->name);
    rc = file_read(o->watch_path, TEXTHASH_MAX, o->arena, &text, why);
    if (rc == RC_NONE)
        return FAIL(why, RC_TEMP, "open database %s: No such file or directory", o->watch_path);
    TRY(rc);
    source_init(&source, text);
    while (source_next(&source, o->arena, &line)) {
        if (source.stray)
            source_warn_stray(o->env->log, o->watch_path, line);
        else
            load_line(o, m, line, source.line);
    }
    o->state = m;
    return RC_OK;
}

const struct table_driver table_driver_texthash = {
    .type = "texthash",
    .flags = DRIVER_FOLDS | DRIVER_THREADS,
    .open = texthash_open,
    .get = memtable_get,
    .next = memtable_next,
};
