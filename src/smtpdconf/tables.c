/* Tables: named ones, files, and values written where they are used. */
#include <fcntl.h>
#include <unistd.h>

#include "smtpdconf/parse.h"
#include "util/file.h"

enum { FILE_MAX = 256 * 1024 * 1024 };

struct conf_table *conf_table_find(const struct conf *conf, struct str name)
{
    return map_get(&conf->names->tables, name);
}

void parse_add_table(struct parser *p, struct conf_table *t)
{
    vec_add(p->arena, &p->conf->tables, t);
    map_put(&p->conf->names->tables, t->name, t);
}

struct conf_table *parse_new_table(struct parser *p)
{
    struct conf_table *t = arena_new_of(p->arena, struct conf_table);

    t->place = p->lexer.place;
    t->name = STR("");
    return t;
}

bool parse_starts_table(const struct parser *p)
{
    return p->token.kind == TOKEN_STRING || parse_is_char(p, '<') || parse_is_char(p, '{');
}

static bool want_value(struct parser *p, struct str *out)
{
    if (p->token.kind == TOKEN_NUMBER || p->token.kind == TOKEN_STRING) {
        *out = p->token.text;
        parse_advance(p);
        return true;
    }
    return parse_syntax_error(p);
}

/* "{" a, b "}" or "{" a = b, c = d "}"; the first entry tells which. */
static bool entries(struct parser *p, struct conf_table *t)
{
    parse_advance(p);
    parse_skip_lines(p);
    while (!parse_is_char(p, '}')) {
        struct conf_entry e = {0};
        if (!want_value(p, &e.key))
            return false;
        if (t->entries.n == 0 && (parse_is_char(p, '=') || p->token.kind == TOKEN_ARROW))
            t->kind = TABLE_IS_MAP;
        if (t->kind == TABLE_IS_MAP) {
            if (!parse_is_char(p, '=') && p->token.kind != TOKEN_ARROW)
                return parse_syntax_error(p);
            parse_advance(p);
            if (!want_value(p, &e.value))
                return false;
        }
        vec_add(p->arena, &t->entries, e);
        parse_skip_lines(p);
        if (!parse_take_char(p, ','))
            continue;
        parse_skip_lines(p);
        if (parse_is_char(p, '}'))
            return parse_syntax_error(p);
    }
    parse_advance(p);
    return t->entries.n ? true : parse_syntax_error(p);
}

static struct conf_table *named(struct parser *p)
{
    struct conf_table *t;
    struct str name;

    parse_advance(p);
    if (!parse_want_string(p, &name) || !parse_want_char(p, '>'))
        return NULL;
    t = conf_table_find(p->conf, name);
    if (t == NULL)
        (void)parse_error(p, "no such table: " STR_FMT, STR_ARG(name));
    return t;
}

struct conf_table *parse_want_table(struct parser *p)
{
    struct conf_table *t;

    if (parse_is_char(p, '<'))
        return named(p);
    t = parse_new_table(p);
    t->number = p->n_dynamic++;
    if (parse_is_char(p, '{'))
        return entries(p, t) ? t : NULL;
    if (p->token.kind == TOKEN_STRING) {
        vec_add(p->arena, &t->entries, ((struct conf_entry){.key = p->token.text}));
        parse_advance(p);
        return t;
    }
    (void)parse_syntax_error(p);
    return NULL;
}

bool parse_table_is(struct parser *p, const struct conf_table *t, unsigned kinds, const char *use)
{
    if (kinds & 1u << t->kind || (t->kind == TABLE_IS_LIST && t->entries.n == 0))
        return true;
    return parse_error(p, "table \"" STR_FMT "\" may not be used for %s lookups",
                       STR_ARG(parse_table_title(p, t)), use);
}

struct str parse_table_title(struct parser *p, const struct conf_table *t)
{
    return t->name.n ? t->name : arena_printf(p->arena, "<dynamic:%zu>", t->number);
}

/* ---- files: "key [:] value" lines; "# @list" at the top says that keys hold blanks ---- */

static struct str joined(struct parser *p, struct str *rest)
{
    struct str line = str_cut(rest, '\n');

    while (line.n && rest->p && line.p[line.n - 1] == '\\') {
        struct str more = str_cut(rest, '\n');
        line = arena_join(p->arena, str_head(line, line.n - 1), more);
    }
    return line;
}

static bool is_ipv6(struct str text)
{
    size_t colons = 0;

    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == 0 || strchr("0123456789abcdefABCDEF:./", text.p[i]) == NULL)
            return false;
        colons += text.p[i] == ':';
    }
    return colons > 1;
}

static bool take_line(struct conf_table *t, struct str line, bool is_list, size_t *with_value)
{
    struct conf_entry e = {.key = line};
    ssize_t end = is_list ? -1 : str_index_any(line, " \t:");

    if (line.n && (line.p[0] == '"' || line.p[0] == '[')) {
        ssize_t close = str_index(line, line.p[0] == '"' ? '"' : ']');
        if (line.p[0] == '"')
            close = str_index(str_from(line, 1), '"') + 1;
        end = close <= 0 || is_list ? end : str_index_any(str_from(line, (size_t)close), " \t:");
        if (close > 0 && end >= 0 && !is_list)
            end += close;
    } else if (end > 0 && line.p[end] == ':' && (size_t)end + 1 < line.n &&
               !is_blank(line.p[end + 1]) && is_ipv6(line)) {
        end = -1; /* an IPv6 address alone */
    }
    if (end >= 0) {
        e.key = str_head(line, (size_t)end);
        e.value = str_from(line, (size_t)end);
        e.value = str_ltrim(e.value);
        if (e.value.n && e.value.p[0] == ':')
            e.value = str_from(e.value, 1);
        e.value = str_trim(e.value);
        if (e.value.n == 0)
            e.value = STR_NONE;
    }
    if (e.key.n > 1 && e.key.p[0] == '"' && e.key.p[e.key.n - 1] == '"')
        e.key = (struct str){e.key.p + 1, e.key.n - 2};
    if (e.value.p)
        ++*with_value;
    t->entries.v[t->entries.n++] = e;
    return e.key.n > 0;
}

bool parse_table_file(struct parser *p, struct conf_table *t)
{
    struct str text = STR("");
    struct why why = {0};
    enum rc rc =
        p->request->offline ? RC_OK : file_read(t->path.p, FILE_MAX, p->arena, &text, &why);
    size_t with_value = 0;
    bool is_list, ok = true;

    if (rc != RC_OK) {
        parse_note(p, arena_printf(p->arena, STR_FMT ": %s", STR_ARG(t->path),
                                   rc == RC_NONE ? "fopen: No such file or directory" : why.text));
        return parse_error(p, "invalid configuration file " STR_FMT " for table " STR_FMT,
                           STR_ARG(t->path), STR_ARG(t->name));
    }
    is_list = str_has_prefix(str_ltrim(text), STR("# @list")) ||
              str_has_prefix(str_ltrim(text), STR("#@list"));
    while (text.p) {
        struct str line = str_trim(joined(p, &text));
        if (line.n == 0 || line.p[0] == '#')
            continue;
        vec_add(p->arena, &t->entries, (struct conf_entry){0});
        t->entries.n--;
        ok = take_line(t, line, is_list, &with_value) && ok;
    }
    t->kind = with_value ? TABLE_IS_MAP : TABLE_IS_LIST;
    for (size_t i = 0; with_value && i < t->entries.n; i++)
        ok = ok && t->entries.v[i].value.p;
    if (!ok)
        return parse_error(p,
                           "invalid configuration file " STR_FMT " for table " STR_FMT
                           ": each line needs a key and a value",
                           STR_ARG(t->path), STR_ARG(t->name));
    return true;
}

/* Types that are a file; others take what they are given. */
static bool has_path(struct str type)
{
    static const char *const types[] = {"file", "static", "db",    "sqlite",   "hash",     "btree",
                                        "cdb",  "lmdb",   "dbm",   "pcre",     "regexp",   "cidr",
                                        "ldap", "mysql",  "pgsql", "texthash", "memcache", NULL};

    for (const char *const *t = types; *t; t++)
        if (str_eq(type, str_of(*t)))
            return true;
    return false;
}

/* table NAME [TYPE:]PATH, table NAME { ... } */
bool parse_table(struct parser *p)
{
    struct conf_table *t;
    struct str text;
    bool is_new;

    parse_advance(p);
    t = parse_new_table(p);
    if (!parse_want_string(p, &t->name))
        return false;
    is_new = conf_table_find(p->conf, t->name) == NULL;
    if (!is_new)
        parse_complaint(p, "table_create: table \"" STR_FMT "\" already defined", STR_ARG(t->name));
    if (parse_is_char(p, '{')) {
        if (!entries(p, t))
            return false;
    } else {
        ssize_t colon;
        if (!parse_want_string(p, &text))
            return false;
        colon = str_index(text, ':');
        t->type = colon < 0 ? STR("file") : arena_copy(p->arena, str_head(text, (size_t)colon));
        t->path = colon < 0 ? text : arena_copy(p->arena, str_from(text, (size_t)colon + 1));
        t->kind = TABLE_IS_BACKEND;
        if (colon < 0 && (text.n == 0 || text.p[0] != '/')) {
            parse_complaint(p, "table_create: backend \"" STR_FMT "\" does not exist",
                            STR_ARG(text));
            return true;
        }
        if (t->path.n == 0 || (has_path(t->type) && t->path.p[0] != '/'))
            return parse_error(p, "invalid backend parameter for table: " STR_FMT,
                               STR_ARG(t->name));
        if (str_eq(t->type, STR("file")) || str_eq(t->type, STR("static"))) {
            t->type = STR("file");
            if (!parse_table_file(p, t)) {
                t->kind = TABLE_IS_BACKEND;
                if (is_new)
                    parse_add_table(p, t); /* so that its users say nothing */
                return false;
            }
        }
    }
    if (is_new)
        parse_add_table(p, t);
    return true;
}
