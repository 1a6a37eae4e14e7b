/* Files .qmail-NAME in the home directory of the user "alias". */
#include <unistd.h>

#include "postern-import/import.h"
#include "util/file.h"

enum { FILE_MAX = 1024 * 1024 };

struct alias {
    struct import *import;
    const char *path;
    long line;
    struct buf targets;
};

static void add_target(struct alias *a, struct str text)
{
    bool quote = text.p[0] == '|' || str_index_any(text, " \t,\"") >= 0;

    buf_add(&a->targets, a->targets.n ? STR(", ") : STR(""));
    buf_add(&a->targets, quote ? STR("\"") : STR(""));
    for (size_t i = 0; i < text.n; i++) {
        if (quote && (text.p[i] == '"' || text.p[i] == '\\'))
            buf_addc(&a->targets, '\\');
        buf_addc(&a->targets, text.p[i]);
    }
    buf_add(&a->targets, quote ? STR("\"") : STR(""));
}

/* "&address" or "address", "|command", "/file", "/directory/", and the same from "./" on. */
static void take_line(struct alias *a, struct str line)
{
    struct import *i = a->import;

    if (line.n == 0 || line.p[0] == '#')
        return;
    if (line.p[0] == '&')
        line = str_ltrim(str_from(line, 1));
    if (line.n == 0 || line.p[0] == '+' ||
        (line.p[0] != '|' && line.p[0] != '/' && str_index_any(line, " \t") >= 0))
        import_note(i, "%s:%ld: \"" STR_FMT "\": no address, file or command; left out", a->path,
                    a->line, STR_ARG(line));
    else if (str_has_prefix(line, STR("./")))
        add_target(
            a, arena_printf(i->arena, "%s/alias/" STR_FMT, i->from, STR_ARG(str_from(line, 2))));
    else
        add_target(a, line);
}

/* Colons stand for dots. */
static struct str alias_name(struct import *i, const char *file)
{
    char *name = arena_text(i->arena, str_of(file + strlen(".qmail-")));

    for (char *p = name; *p; p++)
        if (*p == ':')
            *p = '.';
    return str_of(name);
}

static void take_alias(struct import *i, const char *path, const char *file)
{
    struct alias a = {.import = i, .path = path};
    struct str text = STR_NONE, name;

    if (!str_has_prefix(str_of(file), STR(".qmail-")))
        return;
    name = alias_name(i, file);
    if (str_eq(name, STR("default")) || str_has_suffix(name, STR("-default"))) {
        import_note(i, "%s:1: takes all other names; see luser_relay and recipient_delimiter",
                    path);
        return;
    }
    if (file_read(path, FILE_MAX, i->arena, &text, NULL) != RC_OK) {
        import_note(i, "%s:1: cannot be read", path);
        return;
    }
    buf_init(&a.targets, FILE_MAX);
    while (text.n) {
        a.line++;
        take_line(&a, str_trim(str_cut(&text, '\n')));
    }
    if (a.targets.n)
        buf_addf(&import_table(i, "aliases_qmail", "lmdb")->text, STR_FMT ": %s\n", STR_ARG(name),
                 buf_text(&a.targets));
    else
        import_note(i, "%s:1: names nobody; that means the default delivery of qmail", path);
    buf_done(&a.targets);
}

void qmail_read_aliases(struct import *i)
{
    const char *directory = arena_printf(i->arena, "%s/alias", i->from).p;
    struct import_table *t;

    if (access(directory, F_OK) < 0)
        return;
    t = import_table(i, "aliases_qmail", "lmdb");
    t->is_alias = true;
    import_each_file(i, directory, take_alias);
    import_set(i, "alias_maps", str_of(import_table_name(i, t)));
}
