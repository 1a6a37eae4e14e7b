#include "config/main_cf.h"

#include "config/snapshot.h"

enum rc main_cf_next(struct line_reader *r, const char *path, struct main_cf_entry *entry,
                     struct why *why)
{
    struct str line;
    struct main_cf_entry e;
    ssize_t equals;

    if (!lines_next(r, &line, &e.line))
        return RC_NONE;
    equals = str_index(line, '=');
    if (equals < 0)
        return FAIL(why, RC_CONFIG,
                    "%s, line %d: missing '=' after attribute name: \"" STR_FMT
                    "\"; write: name = value",
                    path, e.line, STR_ARG(line));
    e.name = str_rtrim(str_head(line, (size_t)equals));
    e.value = str_ltrim(str_from(line, (size_t)equals + 1));
    if (e.name.n == 0)
        return FAIL(why, RC_CONFIG,
                    "%s, line %d: missing attribute name: \"" STR_FMT "\"; write: name = value",
                    path, e.line, STR_ARG(line));
    if (str_index_any(e.name, " \t") >= 0)
        return FAIL(why, RC_CONFIG,
                    "%s, line %d: blank in attribute name: \"" STR_FMT "\"; write: name = value",
                    path, e.line, STR_ARG(e.name));
    ((char *)e.name.p)[e.name.n] = '\0';
    *entry = e;
    return RC_OK;
}

static void undo_map(void *map)
{
    map_done(map);
}

enum rc main_cf_parse(struct str text, const char *path,
                      void (*on_error)(void *context, const char *words), void *context,
                      struct arena *a, struct main_cf *out, struct why *why)
{
    VEC(struct main_cf_entry) entries = {0};
    struct map *by_name = arena_new_of(a, struct map);
    struct main_cf_entry e;
    struct line_reader lines;
    enum rc rc;

    lines_start(&lines, arena_text(a, text), text.n);
    while ((rc = main_cf_next(&lines, path, &e, why)) != RC_NONE) {
        if (rc == RC_OK)
            vec_add(a, &entries, e);
        else if (on_error)
            on_error(context, why->text);
        else
            return rc;
    }
    map_init(by_name);
    arena_defer(a, undo_map, by_name);
    for (size_t i = 0; i < entries.n; i++)
        map_put(by_name, entries.v[i].name, &entries.v[i]);
    *out = (struct main_cf){entries.v, entries.n, by_name, arena_text(a, str_of(path))};
    return RC_OK;
}

enum rc main_cf_load(const char *dir, struct arena *a, struct main_cf *out, struct why *why)
{
    struct str text;

    TRY(config_file_read(dir, "main.cf", a, &text, why));
    return main_cf_parse(text, arena_printf(a, "%s/main.cf", dir).p, NULL, NULL, a, out, why);
}

const struct main_cf_entry *main_cf_find(const struct main_cf *m, struct str name)
{
    return map_get(m->by_name, name);
}
