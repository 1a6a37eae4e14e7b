#include "config/edit.h"

#include <fcntl.h>
#include <unistd.h>

#include "config/lines.h"
#include "config/snapshot.h"
#include "util/file.h"

/* One physical line, line end included when there is one. */
static struct str take_line(struct str *rest)
{
    ssize_t newline = str_index(*rest, '\n');
    struct str line = newline < 0 ? *rest : str_head(*rest, (size_t)newline + 1);

    *rest = str_from(*rest, line.n);
    return line;
}

static void apply(const struct edit_decision *d, bool is_first, struct str line, struct buf *out)
{
    switch (d->action) {
    case EDIT_KEEP: edit_add_line(out, line); break;
    case EDIT_REPLACE:
        if (is_first)
            edit_add_line(out, d->text);
        break;
    case EDIT_DELETE: break;
    case EDIT_COMMENT:
        buf_addc(out, '#');
        edit_add_line(out, line);
        break;
    }
}

enum rc edit_text(struct str text, edit_decide *decide, void *context, struct buf *out,
                  struct why *why)
{
    AUTO_ARENA a = arena_new(text.n + 1);
    struct edit_decision d = {EDIT_KEEP, STR_NONE};
    struct line_reader lines;
    struct str logical = STR_NONE, rest = text;
    int number = 0, next = 0;
    bool more;

    lines_start(&lines, arena_text(a, text), text.n);
    more = lines_next(&lines, &logical, &next);
    while (rest.n) {
        struct str line = take_line(&rest), seen = str_ltrim(line);
        bool is_first = ++number == next && more;

        if (seen.n == 0 || seen.p[0] == '#') {
            edit_add_line(out, line);
            continue;
        }
        if (is_first) {
            d = (struct edit_decision){EDIT_KEEP, STR_NONE};
            TRY(decide(context, logical, next, &d, why));
            more = lines_next(&lines, &logical, &next);
        }
        apply(&d, is_first, line, out);
    }
    return RC_OK;
}

enum rc edit_file(const char *dir, const char *name, edit_rewrite *rewrite, void *context,
                  struct why *why)
{
    AUTO_CLOSE int lock = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    AUTO_ARENA a = arena_new(4096);
    struct str path = arena_printf(a, "%s/%s", dir, name), old;
    AUTO_BUF out;

    buf_init(&out, CONFIG_FILE_MAX);
    if (lock < 0)
        return FAIL(why, RC_CONFIG, "open %s: %m", dir);
    TRY(fd_lock(lock, true, true, why));
    TRY(config_file_read(dir, name, a, &old, why));
    TRY(rewrite(context, path.p, old, &out, why));
    if (out.over)
        return FAIL(why, RC_PERM, "%s: longer than %d bytes", path.p, CONFIG_FILE_MAX);
    if (str_eq(old, buf_str(&out)))
        return RC_OK;
    return file_replace(path.p, buf_str(&out), 0644, why);
}

void edit_add_line(struct buf *out, struct str line)
{
    buf_add(out, line);
    if (!str_has_suffix(line, STR("\n")))
        buf_addc(out, '\n');
}
