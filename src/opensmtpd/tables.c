/* Tables of smtpd.conf as tables of the suite: what was read becomes a text file of its own, made
 * anew at each start; databases are used as they are. */
#include <unistd.h>

#include "opensmtpd/generate.h"
#include "table/table.h"

struct str table_value(struct entry_vec entries, struct str key)
{
    for (size_t i = 0; i < entries.n; i++)
        if (str_eq_nocase(entries.v[i].key, key))
            return entries.v[i].value;
    return STR_NONE;
}

static bool is_known_type(struct str type)
{
    for (const char *const *t = table_types(); *t; t++)
        if (str_eq(type, str_of(*t)))
            return true;
    return false;
}

struct str table_backend(struct generator *g, const struct conf_table *t)
{
    struct str path = t->path;

    if (str_eq(t->type, STR("db"))) {
        if (str_has_suffix(path, STR(".db")))
            path = str_head(path, path.n - 3);
        if (g->conf->grammar != GRAMMAR_2011 &&
            access(arena_join(g->arena, path, STR(".db")).p, F_OK) < 0)
            complain(g, &t->place, "invalid configuration file " STR_FMT " for table " STR_FMT,
                     STR_ARG(t->path), STR_ARG(t->name));
        return arena_printf(g->arena, "hash:" STR_FMT, STR_ARG(path));
    }
    if (str_eq(t->type, STR("plain")) || str_eq(t->type, STR("file")))
        return arena_printf(g->arena, "texthash:" STR_FMT, STR_ARG(path));
    if (is_known_type(t->type))
        return arena_printf(g->arena, STR_FMT ":" STR_FMT, STR_ARG(t->type), STR_ARG(path));
    complain(g, &t->place,
             "table " STR_FMT ": tables of type " STR_FMT
             " are not available; see postconf -m for those that are",
             STR_ARG(t->name), STR_ARG(t->type));
    return STR_NONE;
}

struct entry_vec table_entries(struct generator *g, const struct conf_table *t)
{
    struct table_env env = {.config = g->base, .log = &g->log};
    VEC(struct conf_entry) all = {0};
    struct conf_entry e;
    struct table *table;
    struct why why = {0};
    struct str name;
    enum rc rc;

    if (t->kind != TABLE_IS_BACKEND)
        return (struct entry_vec){t->entries.v, t->entries.n};
    name = table_backend(g, t);
    if (name.p == NULL)
        return (struct entry_vec){0};
    rc = table_open(name, TABLE_NO_PROXY | TABLE_STRICT, &env, &table, &why);
    if (rc == RC_OK) {
        while ((rc = table_next(table, all.n == 0, g->arena, &e.key, &e.value, &why)) == RC_OK)
            vec_add(g->arena, &all, e);
        table_close(table);
    }
    if (rc != RC_NONE)
        complain(g, &t->place, "table " STR_FMT " is needed as a whole: %s", STR_ARG(t->name),
                 why.text);
    return (struct entry_vec){all.v, all.n};
}

/* makemap and aliases(5) keep commands in quotes; a key with blanks cannot be looked up anyway. */
static void write_entries(struct generator *g, struct buf *b, const struct conf_table *t,
                          enum table_use use)
{
    for (size_t i = 0; i < t->entries.n; i++) {
        const struct conf_entry *e = &t->entries.v[i];
        struct str key = e->key;
        if (str_index_any(key, " \t") >= 0 || key.n == 0 || key.p[0] == '#') {
            warn(g, &t->place, "table " STR_FMT ": the key \"" STR_FMT "\" cannot be used",
                 STR_ARG(t->name), STR_ARG(key));
            continue;
        }
        if (use == USE_ALIASES && key.p[key.n - 1] == ':')
            key = str_head(key, key.n - 1);
        buf_addf(b, STR_FMT " " STR_FMT "\n", STR_ARG(arena_lower(g->arena, key)),
                 STR_ARG(e->value.n ? e->value : STR("OK")));
    }
}

struct str table_as_map(struct generator *g, const struct conf_table *t, enum table_use use)
{
    struct str name, type_name;

    if (t->kind == TABLE_IS_BACKEND)
        return table_backend(g, t);
    name = t->name.n ? plain_name(g, "table_", t->name)
                     : arena_printf(g->arena, "table_line_%d_%zu", t->place.line, g->files.n);
    type_name =
        arena_printf(g->arena, "texthash:" STR_FMT "/" STR_FMT, STR_ARG(g->dir), STR_ARG(name));
    if (map_get(&g->file_names, name))
        return type_name;
    struct buf *b = generate_file(g, name.p, use == USE_SECRET);
    buf_addf(b, "# " STR_FMT "\n", STR_ARG(generate_place(g, &t->place)));
    write_entries(g, b, t, use);
    return type_name;
}
