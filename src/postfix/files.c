#include "postfix/files.h"

#include <stdlib.h>

#include "config/lines.h"
#include "util/file.h"

enum { FILES_MAX = 1024 * 1024 };

static struct str field(struct str *rest)
{
    struct str f = str_trim(str_cut(rest, ':'));

    return str_eq(f, STR("-")) ? STR("") : f;
}

static enum rc parse(const struct config *c, struct str line, struct arena *a,
                     struct installed *out, struct why *why)
{
    struct str rest = line, type, mode;

    TRY(config_expand(c, a, field(&rest), &out->path, why));
    type = field(&rest);
    TRY(config_expand(c, a, field(&rest), &out->owner, why));
    TRY(config_expand(c, a, field(&rest), &out->group, why));
    mode = field(&rest);
    if (type.n != 1 || strchr("dfhl", type.p[0]) == NULL)
        return FAIL(why, RC_CONFIG, "bad type \"" STR_FMT "\": one of d f h l", STR_ARG(type));
    if (mode.n && (mode.n > 4 || strspn(mode.p, "01234567") < mode.n))
        return FAIL(why, RC_CONFIG, "bad permission \"" STR_FMT "\": octal digits", STR_ARG(mode));
    out->type = type.p[0];
    out->mode = mode.n ? (mode_t)strtoul(mode.p, NULL, 8) : 0;
    return RC_OK;
}

enum rc files_read(const struct config *config, struct arena *a, struct installed_list *out,
                   struct why *why)
{
    const char *path = arena_printf(a, "%s/postfix-files", config->meta_directory.p).p;
    VEC(struct installed) list = {0};
    struct line_reader lines;
    struct str text, line;
    int number;

    TRY(file_read(path, FILES_MAX, a, &text, why));
    lines_start(&lines, (char *)text.p, text.n);
    while (lines_next(&lines, &line, &number)) {
        struct installed x = {0};
        if (parse(config, line, a, &x, why) != RC_OK) {
            why_prefix(why, "%s, line %d", path, number);
            return RC_CONFIG;
        }
        if (!str_has_prefix(x.path, STR("no/")) && !str_eq(x.path, STR("no")))
            vec_add(a, &list, x);
    }
    *out = (struct installed_list){list.v, list.n};
    return RC_OK;
}
