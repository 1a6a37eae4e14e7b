/*
 * makemap [-U] [-d hash|btree] [-o dbfile] [-t aliases|set] file
 *
 * The tables are the mail system's own of type hash or btree; a new one replaces the old one as a
 * whole.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config.h"
#include "smtpctl/smtpctl.h"
#include "table/table.h"
#include "util/file.h"

enum { SOURCE_MAX = 1024 * 1024 * 1024 };

enum shape { SHAPE_PAIRS, SHAPE_ALIASES, SHAPE_SET };

struct making {
    struct smtpctl *s;
    const char *source, *output; /* NULL: source.db */
    struct str type;             /* "hash" */
    enum shape shape;
    bool dump;
    long n; /* entries */
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

/* A line with what a backslash at its end appends; comments end with their line. */
static bool next_line(struct making *m, struct str *text, long *number, struct str *line)
{
    if (text->n == 0)
        return false;
    *line = str_ltrim(str_cut(text, '\n'));
    ++*number;
    while (line->n && line->p[0] != '#' && line->p[line->n - 1] == '\\' && text->n) {
        struct str more = str_cut(text, '\n');
        ++*number;
        *line = arena_join(m->s->arena, str_head(*line, line->n - 1), more);
    }
    return true;
}

/*
 * "word [:] rest", where the first colon or blank ends the word, also in a URL, but not inside of
 * [ ]; aliases may quote theirs. A set has keys only. False: the line is wrong.
 */
static bool split(const struct making *m, struct str line, struct str *key, struct str *value)
{
    size_t n = 0;

    if (m->shape == SHAPE_SET) {
        *key = line;
        *value = STR_NONE;
        return true;
    }
    if (m->shape == SHAPE_ALIASES && line.p[0] == '"') {
        ssize_t end = str_index(str_from(line, 1), '"');
        if (end < 0)
            return false;
        *key = str_head(str_from(line, 1), (size_t)end);
        n = (size_t)end + 2;
    } else {
        if (line.p[0] == '[' && str_index(line, ']') > 0)
            n = (size_t)str_index(line, ']');
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
        m->n++;
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

/* The table may be read by those who may read the source. Source "-": standard input. */
static enum rc read_source(const struct making *m, struct str *text, struct why *why)
{
    struct stat st;

    if (strcmp(m->source, "-") == 0)
        return fd_read_all(STDIN_FILENO, SOURCE_MAX, m->s->arena, text, why);
    TRY(file_read(m->source, SOURCE_MAX, m->s->arena, text, why));
    if (stat(m->source, &st) == 0)
        umask(~st.st_mode & 0777);
    return RC_OK;
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

    if (read_source(m, &text, &why) != RC_OK)
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
    if (status == STATUS_DONE && m->n == 0)
        (void)complain("warning: empty map created: %s%s", m->output ? m->output : m->source,
                       m->output ? "" : ".db");
    return status;
}

int make_aliases(struct smtpctl *s, const char *path)
{
    struct making m = {.s = s, .type = STR("hash"), .shape = SHAPE_ALIASES, .source = path};
    int status = make(&m);

    if (status == STATUS_DONE)
        printf("%s: %ld aliases\n", path, m.n);
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

static bool take_shape(struct making *m, struct str word)
{
    if (str_eq(word, STR("aliases")))
        m->shape = SHAPE_ALIASES;
    else if (str_eq(word, STR("set")))
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
            if (!take_shape(&m, str_of(optarg)))
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
    if (strcmp(m.source, "-") == 0 && m.output == NULL)
        return usage();
    return m.dump ? dump(&m) : make(&m);
}
