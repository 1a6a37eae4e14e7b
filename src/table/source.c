#include "table/source.h"

#include "table/base64.h"
#include "util/buf.h"
#include "util/file.h"

enum { SOURCE_VALUE_MAX = 16 * 1024 * 1024 };

void source_init(struct source *s, struct str text)
{
    *s = (struct source){.rest = text};
}

static bool is_comment(struct str line)
{
    struct str text = str_ltrim(line);

    return text.n == 0 || text.p[0] == '#';
}

static bool continues(struct str rest)
{
    return rest.n && is_white(rest.p[0]);
}

/* Is there, behind blank and comment lines, a line that continues the current one? It is taken. */
static bool take_continuation(struct source *s, struct str *line)
{
    while (s->rest.n) {
        struct str rest = s->rest, text = str_cut(&rest, '\n');
        if (!is_comment(text) && !continues(text))
            return false;
        s->rest = rest;
        s->line++;
        if (!is_comment(text)) {
            *line = text;
            return true;
        }
    }
    return false;
}

bool source_next(struct source *s, struct arena *a, struct str *line)
{
    struct str text, more;

    do {
        if (s->rest.n == 0)
            return false;
        text = str_cut(&s->rest, '\n');
        s->line++;
    } while (is_comment(text));
    s->first_line = s->line;
    s->stray = continues(text);
    if (take_continuation(s, &more)) {
        AUTO_BUF joined = {0};
        buf_init(&joined, SOURCE_VALUE_MAX);
        buf_add(&joined, text);
        do
            buf_add(&joined, more);
        while (take_continuation(s, &more));
        text = arena_copy(a, buf_str(&joined));
    }
    *line = str_rtrim(text);
    return true;
}

bool source_line_is_fit(const struct source *s, const char *path, bool utf8, const struct log *log,
                        struct str line)
{
    if (s->stray) {
        if (log)
            log_warning(log, "%s: logical line must not start with whitespace: \"" STR_FMT "%s\"",
                        path, STR_ARG(str_head(line, 30)), line.n > 30 ? "..." : "");
        return false;
    }
    if (utf8 && !str_is_utf8(line)) {
        if (log)
            log_warning(log, "%s, line %ld: non-UTF-8 input \"" STR_FMT "\" -- ignoring this line",
                        path, s->line, STR_ARG(line));
        return false;
    }
    return true;
}

bool source_entry(struct source *s, const char *path, bool utf8, const struct log *log,
                  struct arena *a, struct str *key, struct str *value)
{
    struct str line;

    while (source_next(s, a, &line)) {
        struct why why;
        if (!source_line_is_fit(s, path, utf8, log, line))
            continue;
        if (source_split(line, key, value, &why) != RC_OK) {
            if (log)
                log_warning(log, "%s, line %ld: %s", path, s->line, why.text);
            continue;
        }
        if (log && key->p[key->n - 1] == ':')
            log_warning(log,
                        "%s, line %ld: record is in \"key: value\" format; is this an alias file?",
                        path, s->line);
        return true;
    }
    return false;
}

enum rc source_split(struct str line, struct str *key, struct str *value, struct why *why)
{
    bool quoted = false;
    size_t i = 0;

    for (; i < line.n && (quoted || !is_white(line.p[i])); i++) {
        if (line.p[i] == '\\' && i + 1 < line.n)
            i++;
        else if (line.p[i] == '"')
            quoted = !quoted;
    }
    if (quoted)
        return FAIL(why, RC_PERM, "unbalanced '\"' in '" STR_FMT "' -- ignoring this line",
                    STR_ARG(line));
    *key = str_head(line, i);
    *value = str_trim(str_from(line, i));
    if (key->n == 0 || value->n == 0)
        return FAIL(why, RC_PERM, "expected format: key whitespace value");
    return RC_OK;
}

enum rc source_value_of_files(struct str files, struct arena *a, struct str *value, struct why *why)
{
    AUTO_BUF all = {0};
    struct str path, text;

    buf_init(&all, SOURCE_VALUE_MAX);
    while (str_token(&files, LIST_SEPARATORS, &path)) {
        char *name = arena_text(a, path);
        enum rc rc = file_read(name, SOURCE_VALUE_MAX, a, &text, why);
        if (rc == RC_NONE)
            return FAIL(why, RC_PERM, "open %s: No such file or directory", name);
        TRY(rc);
        buf_add(&all, text);
    }
    if (all.over)
        return FAIL(why, RC_PERM, "files are larger than %d bytes together", SOURCE_VALUE_MAX);
    if (all.n == 0)
        return FAIL(why, RC_PERM, "empty file or no file name");
    *value = base64_encode(a, buf_str(&all));
    return RC_OK;
}

enum rc source_unbrace(struct str text, struct str *inside, struct why *why)
{
    text = str_trim(text);
    if (text.n == 0 || text.p[0] != '{') {
        *inside = text;
        return RC_OK;
    }
    if (text.n < 2 || text.p[text.n - 1] != '}')
        return FAIL(why, RC_PERM, "%s in \"" STR_FMT "\"",
                    str_index(text, '}') < 0 ? "missing '}'" : "syntax error after '}'",
                    STR_ARG(text));
    *inside = str_trim((struct str){text.p + 1, text.n - 2});
    return RC_OK;
}
