#include "table/dbconf.h"

#include "table/source.h"
#include "util/file.h"
#include "util/map.h"

enum { DBCONF_MAX = 1024 * 1024 };

struct setting {
    struct str value;
    bool used;
};

struct dbconf {
    const char *path;
    const struct log *log;
    struct map settings; /* to struct setting */
};

static void done(void *p)
{
    map_done(&((struct dbconf *)p)->settings);
}

static enum rc read_line(struct dbconf *c, struct driver_open *o, struct str line, long number,
                         struct why *why)
{
    struct str value = line, name = str_trim(str_cut(&value, '='));
    struct setting *s = arena_new_of(o->arena, struct setting);

    if (value.p == NULL || name.n == 0)
        return FAIL(why, RC_CONFIG, "%s, line %ld: need \"name = value\"", c->path, number);
    s->value = arena_copy(o->arena, str_trim(value));
    map_put(&c->settings, name, s);
    return RC_OK;
}

enum rc dbconf_open(struct driver_open *o, struct dbconf **out, struct why *why)
{
    struct dbconf *c = arena_new_of(o->arena, struct dbconf);
    struct source source;
    struct str text, line;
    enum rc rc;

    c->path = o->watch_path = arena_text(o->arena, o->name);
    c->log = o->env->log;
    map_init(&c->settings);
    arena_defer(o->arena, done, c);
    rc = file_read(c->path, DBCONF_MAX, o->arena, &text, why);
    if (rc == RC_NONE)
        return FAIL(why, RC_TEMP, "open %s: No such file or directory", c->path);
    TRY(rc);
    source_init(&source, text);
    while (source_next(&source, o->arena, &line))
        TRY(read_line(c, o, line, source.first_line, why));
    *out = c;
    return RC_OK;
}

struct str dbconf_text(struct dbconf *c, const char *name, const char *dflt)
{
    struct setting *s = map_get(&c->settings, str_of(name));

    if (s == NULL)
        return str_of(dflt);
    s->used = true;
    return s->value;
}

enum rc dbconf_number(struct dbconf *c, const char *name, long dflt, long min, long max, long *out,
                      struct why *why)
{
    struct str text = dbconf_text(c, name, NULL);

    *out = dflt;
    if (text.p && !str_to_long(text, min, max, out))
        return FAIL(why, RC_CONFIG, "%s: %s = " STR_FMT ": need a number from %ld to %ld", c->path,
                    name, STR_ARG(text), min, max);
    return RC_OK;
}

void dbconf_warn_unused(struct dbconf *c)
{
    for (struct map_item *i = NULL; c->log && (i = map_next(&c->settings, i));)
        if (!((struct setting *)i->value)->used)
            log_warning(c->log, "%s: unused parameter: " STR_FMT, c->path, STR_ARG(i->key));
}
