/*
 * makemap [-U] [-d hash|btree] [-o dbfile] [-t aliases|set] file, and newaliases [-f smtpd.conf].
 *
 * The tables are the mail system's own of type hash or btree; a new one replaces the old one as a
 * whole.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "config/config.h"
#include "smtpctl/smtpctl.h"
#include "table/table.h"
#include "util/file.h"

enum { SOURCE_MAX = 1024 * 1024 * 1024 };

static const char aliases_file[] = "/etc/mail/aliases";

enum shape { SHAPE_PAIRS, SHAPE_ALIASES, SHAPE_SET };

struct making {
    struct smtpctl *s;
    const char *source, *output; /* NULL: source.db */
    struct str type;             /* "hash" */
    enum shape shape;
    bool dump;
};

static int complain(const char *format, ...) PRINTF_LIKE(1, 2);

static int complain(const char *format, ...)
{
    va_list args;

    fputs("makemap: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return STATUS_FAILED;
}

static int usage(void)
{
    fputs("usage: makemap [-U] [-d dbtype] [-o dbfile] [-t type] file\n", stderr);
    return STATUS_FAILED;
}

/* A line with what a backslash at its end appends. */
static bool next_line(struct making *m, struct str *text, long *number, struct str *line)
{
    if (text->n == 0)
        return false;
    *line = str_cut(text, '\n');
    ++*number;
    while (line->n && line->p[line->n - 1] == '\\' && text->n) {
        struct str more = str_cut(text, '\n');
        ++*number;
        *line = arena_join(m->s->arena, str_head(*line, line->n - 1), more);
    }
    return true;
}

/* "word [:] rest"; a set has words only. False: the line is wrong. */
static bool split(const struct making *m, struct str line, struct str *key, struct str *value)
{
    size_t n = 0;

    if (m->shape == SHAPE_SET) {
        *key = line;
        *value = STR_NONE;
        return str_index_any(line, " \t") < 0;
    }
    if (line.p[0] == '"') { /* aliases may quote their names */
        ssize_t end = str_index(str_from(line, 1), '"');
        if (end < 0)
            return false;
        *key = str_head(str_from(line, 1), (size_t)end);
        n = (size_t)end + 2;
    } else {
        while (n < line.n && !is_blank(line.p[n]) && line.p[n] != ':')
            n++;
        *key = str_head(line, n);
    }
    *value = str_trim(str_from(line, n));
    if (value->n && value->p[0] == ':')
        *value = str_trim(str_from(*value, 1));
    return key->n && value->n;
}

static int fill(struct making *m, struct table *t, struct str text)
{
    struct str line, key, value;
    struct why why = {0};
    long number = 0;

    while (next_line(m, &text, &number, &line)) {
        enum rc rc;
        line = str_trim(line);
        if (line.n == 0 || line.p[0] == '#')
            continue;
        if (!split(m, line, &key, &value))
            return complain("%s:%ld: invalid entry", m->source, number);
        rc = table_put(t, arena_lower(m->s->arena, key), value, &why);
        if (rc == RC_NONE)
            return complain("%s:%ld: duplicate entry for " STR_FMT, m->source, number,
                            STR_ARG(key));
        if (rc != RC_OK)
            return complain("%s:%ld: %s", m->source, number, why.text);
    }
    return STATUS_DONE;
}

/* The driver adds ".db" itself. */
static struct str base_of(const struct making *m)
{
    struct str name = str_of(m->output ? m->output : m->source);

    if (m->output && str_has_suffix(name, STR(".db")))
        return str_head(name, name.n - 3);
    return m->output ? arena_printf(m->s->arena, "%s.makemap", m->output) : name;
}

static int make(struct making *m)
{
    const struct table_env env = {m->s->command.config, &m->s->command.log};
    struct str base = base_of(m), text;
    struct str name =
        arena_printf(m->s->arena, STR_FMT ":" STR_FMT, STR_ARG(m->type), STR_ARG(base));
    struct table *t = NULL;
    struct why why = {0};
    int status;

    if (file_read(m->source, SOURCE_MAX, m->s->arena, &text, &why) != RC_OK)
        return complain("%s", why.text);
    if (table_open(name, TABLE_CREATE | TABLE_STRICT | TABLE_BYTES, &env, &t, &why) != RC_OK)
        return complain("%s", why.text);
    status = fill(m, t, text);
    if (status == STATUS_DONE && table_commit(t, &why) != RC_OK)
        status = complain("%s", why.text);
    table_close(t);
    if (status == STATUS_DONE && m->output && !str_has_suffix(str_of(m->output), STR(".db")) &&
        rename(arena_printf(m->s->arena, STR_FMT ".db", STR_ARG(base)).p, m->output) < 0)
        status = complain("rename to %s: %s", m->output, strerror(errno));
    return status;
}

static int dump(struct making *m)
{
    const struct table_env env = {m->s->command.config, &m->s->command.log};
    struct str base = str_of(m->source), key, value;
    struct table *t = NULL;
    struct why why = {0};
    enum rc rc;

    if (str_has_suffix(base, STR(".db")))
        base = str_head(base, base.n - 3);
    if (table_open(arena_printf(m->s->arena, STR_FMT ":" STR_FMT, STR_ARG(m->type), STR_ARG(base)),
                   TABLE_STRICT | TABLE_BYTES, &env, &t, &why) != RC_OK)
        return complain("%s", why.text);
    for (bool first = true; (rc = table_next(t, first, m->s->arena, &key, &value, &why)) == RC_OK;
         first = false)
        printf(STR_FMT "\t" STR_FMT "\n", STR_ARG(key), STR_ARG(value));
    table_close(t);
    return rc == RC_NONE ? STATUS_DONE : complain("%s", why.text);
}

static bool take_shape(struct making *m, const char *word)
{
    if (strcmp(word, "aliases") == 0)
        m->shape = SHAPE_ALIASES;
    else if (strcmp(word, "set") == 0)
        m->shape = SHAPE_SET;
    else
        return false;
    return true;
}

int makemap(struct smtpctl *s, int argc, char **argv)
{
    struct making m = {.s = s, .type = STR("hash")};
    int letter;

    optind = 1;
    while ((letter = getopt(argc, argv, "d:o:t:U")) > 0)
        switch (letter) {
        case 'd': m.type = str_of(optarg); break;
        case 'o': m.output = optarg; break;
        case 't':
            if (!take_shape(&m, optarg))
                return complain("unsupported type '%s'", optarg);
            break;
        case 'U': m.dump = true; break;
        default: return usage();
        }
    if (!str_eq(m.type, STR("hash")) && !str_eq(m.type, STR("btree")))
        return complain("unsupported DB type '" STR_FMT "'", STR_ARG(m.type));
    if (argc != optind + 1 || (m.dump && m.output))
        return usage();
    m.source = argv[optind];
    return m.dump ? dump(&m) : make(&m);
}

/* ---- newaliases ---- */

/* Words of a configuration file; quotes and comments are understood, no more of the grammar. */
static struct str next_word(struct str *text)
{
    *text = str_ltrim(*text);
    while (text->n && text->p[0] == '#') {
        (void)str_cut(text, '\n');
        *text = str_ltrim(*text);
    }
    if (text->n && text->p[0] == '"') {
        *text = str_from(*text, 1);
        return str_cut(text, '"');
    }
    for (size_t n = 0; n <= text->n; n++)
        if (n == text->n || is_white(text->p[n]) || strchr("{}\"", text->p[n])) {
            struct str word = str_head(*text, n ? n : 1);
            *text = str_from(*text, word.n);
            return word;
        }
    return STR_NONE;
}

/* table aliases file:PATH, table aliases db:PATH.db, map aliases { source db "PATH.db" } */
static struct str aliases_of(struct smtpctl *s, struct str text)
{
    struct str path = str_of(aliases_file), word, before = STR_NONE;

    while (text.n) {
        word = next_word(&text);
        if (str_eq(word, STR("aliases")) &&
            (str_eq(before, STR("table")) || str_eq(before, STR("map")))) {
            word = next_word(&text);
            while (text.n && !str_eq(word, STR("}")) && str_index(word, '/') < 0)
                word = next_word(&text);
            if (str_index(word, '/') >= 0)
                path = str_from(word, (size_t)str_index(word, '/'));
            break;
        }
        before = word;
    }
    if (str_has_suffix(path, STR(".db")))
        path = str_head(path, path.n - 3);
    return arena_copy(s->arena, path);
}

int newaliases(struct smtpctl *s, int argc, char **argv)
{
    const char *conf = NULL;
    struct str text, path = str_of(aliases_file);
    struct why why = {0};
    int letter;

    optind = 1;
    while ((letter = getopt(argc, argv, "f:h")) > 0) {
        if (letter != 'f') {
            fputs("usage: newaliases [-f file]\n", stderr);
            return STATUS_FAILED;
        }
        conf = optarg;
    }
    if (conf) {
        if (file_read(conf, SOURCE_MAX, s->arena, &text, &why) != RC_OK) {
            fprintf(stderr, "newaliases: %s\n", why.text);
            return STATUS_FAILED;
        }
        path = aliases_of(s, text);
    }
    const char *const words[] = {"makemap", "-t", "aliases", path.p, NULL};
    return makemap(s, 4, (char **)words);
}
