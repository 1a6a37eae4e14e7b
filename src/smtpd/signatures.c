#include "smtpd/signatures.h"

#include "config/snapshot.h"
#include "global/mime.h"

enum { FILE_MAX = 1024 * 1024, NESTING = 100, BOUNDARY = 2048, HEADER = 102400 };

struct signatures {
    VEC(struct str) prefixes;
};

struct signature_scan {
    const struct signatures *signatures;
    struct mime_state *mime;
    bool continues; /* the line that comes is the rest of one */
    bool found;
};

struct reading {
    struct signatures *signatures;
    struct arena *arena;
    const char *path;
};

static enum rc parse(void *context, struct str text, struct why *why)
{
    struct reading *r = context;

    r->signatures->prefixes.n = 0;
    while (text.n) {
        struct str line = str_rtrim(str_cut(&text, '\n'));
        if (line.n && line.p[0] != '#')
            vec_add(r->arena, &r->signatures->prefixes, line);
    }
    if (r->signatures->prefixes.n == 0)
        return FAIL(why, RC_CONFIG, "%s: no signature in it", r->path);
    return RC_OK;
}

enum rc signatures_read(struct str path, const struct log *log, struct arena *a,
                        const struct signatures **out, struct why *why)
{
    struct reading r = {arena_new_of(a, struct signatures), a, arena_text(a, path)};
    enum rc rc = snapshot_parse_file(r.path, FILE_MAX, false, log, a, parse, &r, why);

    if (rc == RC_NONE)
        return FAIL(why, RC_CONFIG,
                    "open " STR_FMT
                    ": no such file; REJECTEXEC and smtpd_content_signatures need it",
                    STR_ARG(path));
    if (rc != RC_OK)
        return RC_CONFIG;
    *out = r.signatures;
    return RC_OK;
}

static bool has_prefix(struct str line, struct str prefix)
{
    if (line.n < prefix.n)
        return false;
    for (size_t i = 0; i < prefix.n; i++)
        if (prefix.p[i] != '*' && prefix.p[i] != line.p[i])
            return false;
    return true;
}

static void see_body(void *context, struct str line, bool more)
{
    struct signature_scan *scan = context;

    if (!scan->continues && mime_part_offset(scan->mime) == 0)
        for (size_t i = 0; i < scan->signatures->prefixes.n && !scan->found; i++)
            scan->found = has_prefix(line, scan->signatures->prefixes.v[i]);
    scan->continues = more;
}

struct signature_scan *signature_scan_new(const struct signatures *s, struct arena *a)
{
    static const struct mime_events events = {.body = see_body};
    const struct mime_options options = {.parse_nested = true,
                                         .nesting_limit = NESTING,
                                         .boundary_limit = BOUNDARY,
                                         .header_size_limit = HEADER};
    struct signature_scan *scan = arena_new_of(a, struct signature_scan);

    scan->signatures = s;
    scan->mime = mime_new(a, &options, &events, scan);
    return scan;
}

void signature_scan_line(struct signature_scan *scan, struct str line, bool more)
{
    (void)mime_line(scan->mime, line, more);
}

bool signature_scan_found(const struct signature_scan *scan)
{
    return scan && scan->found;
}
