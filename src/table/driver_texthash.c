/* texthash: the source text that postmap(1) takes, read into memory when the table is opened. */
#include "table/driver.h"
#include "table/memtable.h"
#include "table/source.h"
#include "util/file.h"

enum { TEXTHASH_MAX = 1024 * 1024 * 1024 };

static void warn(const struct driver_open *o, long line, const struct why *why)
{
    if (o->env->log)
        log_warning(o->env->log, "%s, line %ld: %s", o->watch_path, line, why->text);
}

static void add(struct driver_open *o, struct memtable *m, struct str key, struct str value,
                long line)
{
    struct why why;

    if ((o->flags & TABLE_BASE64) &&
        source_value_of_files(value, o->arena, &value, &why) != RC_OK) {
        warn(o, line, &why);
        return;
    }
    if (!(o->flags & TABLE_FOLD_KEEP))
        key = fold_case(o->arena, key, o->flags & TABLE_UTF8);
    if (map_get(&m->map, key)) {
        why_set(&why, RC_NONE, "duplicate entry: \"" STR_FMT "\"", STR_ARG(key));
        warn(o, line, &why);
        return;
    }
    memtable_put(m, o->arena, key, value);
}

static enum rc texthash_open(struct driver_open *o, struct why *why)
{
    struct memtable *m = memtable_new(o->arena);
    struct source source;
    struct str text, key, value;
    enum rc rc;

    o->watch_path = arena_text(o->arena, o->name);
    rc = file_read(o->watch_path, TEXTHASH_MAX, o->arena, &text, why);
    if (rc == RC_NONE)
        return FAIL(why, RC_TEMP, "open database %s: No such file or directory", o->watch_path);
    TRY(rc);
    source_init(&source, text);
    while (source_entry(&source, o->watch_path, o->flags & TABLE_UTF8, o->env->log, o->arena, &key,
                        &value))
        add(o, m, key, value, source.line);
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
