#include "config/main_cf.h"

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
