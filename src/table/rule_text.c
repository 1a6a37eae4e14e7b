#include "table/rules.h"
#include "table/source.h"
#include "util/buf.h"
#include "util/file.h"

enum { RULE_FILE_MAX = 256 * 1024 * 1024 };

static enum rc inline_rules(struct driver_open *o, struct str *text, struct why *why)
{
    struct str list, rule;
    AUTO_BUF lines = {0};

    TRY(source_unbrace(o->name, &list, why));
    buf_init(&lines, RULE_FILE_MAX);
    while (str_token_braced(&list, LIST_SEPARATORS, &rule)) {
        size_t start = lines.n;
        if (rule.p[0] != '{')
            return FAIL(why, RC_CONFIG,
                        "bad syntax: \"" STR_FMT ":" STR_FMT "\"; need \"" STR_FMT
                        ":{ {rule}, {rule} }\"",
                        STR_ARG(o->type), STR_ARG(o->name), STR_ARG(o->type));
        if (source_unbrace(rule, &rule, why) != RC_OK)
            return RC_CONFIG;
        buf_add(&lines, rule);
        for (size_t i = start; i < lines.n; i++)
            if (lines.p[i] == '\n')
                lines.p[i] = ' ';
        buf_addc(&lines, '\n');
    }
    *text = arena_copy(o->arena, buf_str(&lines));
    return RC_OK;
}

enum rc rule_text_read(struct driver_open *o, struct str *text, struct why *why)
{
    char *path;
    enum rc rc;

    if (o->name.n && o->name.p[0] == '{') {
        rc = inline_rules(o, text, why);
        return rc == RC_PERM ? RC_CONFIG : rc;
    }
    path = arena_text(o->arena, o->name);
    o->watch_path = path;
    rc = file_read(path, RULE_FILE_MAX, o->arena, text, why);
    return rc == RC_NONE ? FAIL(why, RC_TEMP, "open %s: No such file or directory", path) : rc;
}

bool rule_is_keyword(struct str line, struct str keyword)
{
    return str_has_prefix_nocase(line, keyword) &&
           (line.n == keyword.n || !is_alnum(line.p[keyword.n]));
}
