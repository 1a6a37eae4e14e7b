#include "config/edit.h"

static const char *const field_names[MASTER_FIELDS] = {
    [MASTER_NAME] = "service",          [MASTER_TYPE] = "type",       [MASTER_PRIVATE] = "private",
    [MASTER_UNPRIV] = "unprivileged",   [MASTER_CHROOT] = "chroot",   [MASTER_WAKEUP] = "wakeup",
    [MASTER_MAXPROC] = "process_limit", [MASTER_COMMAND] = "command",
};

int master_field_find(struct str name)
{
    for (int i = 0; i < MASTER_FIELDS; i++)
        if (str_eq(name, str_of(field_names[i])))
            return i;
    return -1;
}

const char *master_field_name(enum master_field field)
{
    return field_names[field];
}

static bool has_item(enum master_edit_kind kind)
{
    return kind == MASTER_EDIT_FIELD || kind == MASTER_EDIT_PARAM || kind == MASTER_DELETE_PARAM;
}

static bool has_value(enum master_edit_kind kind)
{
    return kind == MASTER_EDIT_ENTRY || kind == MASTER_EDIT_FIELD || kind == MASTER_EDIT_PARAM;
}

static enum rc malformed(enum master_edit_kind kind, struct str request, struct why *why)
{
    static const char *const wanted[] = {
        [MASTER_EDIT_ENTRY] = "-Me requires service/type=line",
        [MASTER_DELETE_ENTRY] = "-Me, -MX or -M# requires service_name/type",
        [MASTER_COMMENT_ENTRY] = "-Me, -MX or -M# requires service_name/type",
        [MASTER_EDIT_FIELD] = "-Fe requires service/type/field=value",
        [MASTER_EDIT_PARAM] = "-Pe requires service/type/parameter=value",
        [MASTER_DELETE_PARAM] = "-PX requires service/type/parameter",
    };

    return FAIL(why, RC_PERM, "%s, not \"" STR_FMT "\"", wanted[kind], STR_ARG(request));
}

enum rc master_edit_parse(enum master_edit_kind kind, struct str request, struct master_edit *edit,
                          struct why *why)
{
    struct str value = request;
    struct str pattern = has_value(kind) ? str_cut(&value, '=') : request;
    struct master_edit e = {.kind = kind, .request = request};

    if (str_index_any(request, "\r\n") >= 0)
        return FAIL(why, RC_PERM, "-e, -X, or -# accepts no multi-line input");
    if (str_has_prefix(str_ltrim(request), STR("#")))
        return FAIL(why, RC_PERM, "-e, -X, or -# accepts no comment input");
    if (has_value(kind) && value.p == NULL)
        return malformed(kind, request, why);
    pattern = str_trim(pattern);
    e.value = str_trim(value);
    e.name = str_cut(&pattern, '/');
    e.type = has_item(kind) ? str_cut(&pattern, '/') : pattern;
    e.item = has_item(kind) ? pattern : STR_NONE;
    if (e.name.n == 0 || e.type.n == 0 || (has_item(kind) && e.item.n == 0) ||
        str_index(has_item(kind) ? e.item : e.type, '/') >= 0)
        return malformed(kind, request, why);
    if (kind == MASTER_EDIT_FIELD && master_field_find(e.item) < 0)
        return FAIL(why, RC_PERM, "unknown field \"" STR_FMT "\" in \"" STR_FMT "\"",
                    STR_ARG(e.item), STR_ARG(request));
    *edit = e;
    return RC_OK;
}

struct master_run {
    struct master_edit *edits;
    size_t n;
    const char *path;
    struct arena *arena;
};

static bool matches(struct str pattern, struct str text)
{
    return str_eq(pattern, STR("*")) || str_eq(pattern, text);
}

static struct str braced(struct arena *a, struct str arg)
{
    if (arg.n && arg.p[0] != '{' && str_index_any(arg, " \t\r\n\v\f") < 0)
        return arg;
    return arena_printf(a, "{" STR_FMT "}", STR_ARG(arg));
}

static void add_setting(struct buf *out, struct str name, struct str value)
{
    bool braces = str_index_any(value, " \t\r\n\v\f") >= 0;

    buf_addf(out, braces ? " -o {" STR_FMT "=" STR_FMT "}" : " -o " STR_FMT "=" STR_FMT,
             STR_ARG(name), STR_ARG(value));
}

/* The arguments, with -o settings as the edit wants them; edit may be NULL. */
static void add_args(const struct master_entry *e, const struct master_edit *edit, struct arena *a,
                     struct buf *out)
{
    bool is_set = edit == NULL || edit->kind == MASTER_DELETE_PARAM;
    size_t settings = 0;

    for (size_t i = 0; i <= e->args_n; i++) {
        if (i == e->options_n && !is_set)
            add_setting(out, edit->item, edit->value);
        if (i == e->args_n)
            break;
        if (e->is_override[i]) {
            const struct config_setting *s = &e->overrides[settings++];
            bool is_wanted = edit && matches(edit->item, s->name);
            i += e->args[i].n == 2;
            if (is_wanted && edit->kind == MASTER_DELETE_PARAM)
                continue;
            if (is_wanted)
                is_set = true;
            add_setting(out, s->name, is_wanted ? edit->value : s->value);
        } else {
            buf_addf(out, " " STR_FMT, STR_ARG(braced(a, e->args[i])));
        }
    }
}

/* The line after a field or parameter edit; parsed again, so that mistakes are found. */
static enum rc edit_entry(struct master_run *r, const struct master_edit *edit,
                          struct master_entry *e, struct why *why)
{
    int field = edit->kind == MASTER_EDIT_FIELD ? master_field_find(edit->item) : -1;
    AUTO_BUF line;

    buf_init(&line, CONFIG_LINE_MAX);
    for (int i = 0; i < MASTER_FIELDS; i++)
        buf_addf(&line, "%s" STR_FMT, i ? " " : "",
                 STR_ARG(i == field ? edit->value : e->fields[i]));
    if (field != MASTER_COMMAND) /* that field is the command with its arguments */
        add_args(e, field < 0 ? edit : NULL, r->arena, &line);
    if (line.over)
        return FAIL(why, RC_PERM, "line longer than %d bytes", CONFIG_LINE_MAX);
    return master_entry_parse(buf_str(&line), r->path, e->line, r->arena, e, why);
}

static struct str formatted(struct arena *a, const struct master_entry *e)
{
    AUTO_BUF out;

    buf_init(&out, CONFIG_LINE_MAX * 2);
    master_entry_format(e, true, &out);
    return arena_copy(a, buf_str(&out));
}

static enum rc parse_request(struct master_run *r, const struct master_edit *edit,
                             struct master_entry *e, struct why *why)
{
    const char *request = arena_printf(r->arena, "\"" STR_FMT "\"", STR_ARG(edit->request)).p;

    return master_entry_parse(edit->value, request, 0, r->arena, e, why);
}

/* Replace, delete or comment out the whole entry. */
static enum rc edit_whole(struct master_run *r, struct master_edit *edit, struct edit_decision *d,
                          struct why *why)
{
    struct master_entry e;

    if (edit->kind == MASTER_EDIT_ENTRY && edit->is_done) {
        d->action = EDIT_DELETE; /* a duplicate of what was replaced */
        return RC_OK;
    }
    d->action = edit->kind == MASTER_EDIT_ENTRY     ? EDIT_REPLACE
                : edit->kind == MASTER_DELETE_ENTRY ? EDIT_DELETE
                                                    : EDIT_COMMENT;
    edit->is_done = true;
    if (d->action == EDIT_REPLACE) {
        TRY(parse_request(r, edit, &e, why));
        d->text = formatted(r->arena, &e);
    }
    return RC_OK;
}

static enum rc decide(void *context, struct str line, int number, struct edit_decision *d,
                      struct why *why)
{
    struct master_run *r = context;
    struct str rest = line, name, type;
    struct master_entry e = {0};

    if (!str_token(&rest, " \t", &name) || !str_token(&rest, " \t", &type))
        return RC_OK;
    for (size_t i = 0; i < r->n; i++) {
        struct master_edit *edit = &r->edits[i];
        if (!matches(edit->name, name) || !matches(edit->type, type))
            continue;
        if (!has_item(edit->kind)) {
            TRY(edit_whole(r, edit, d, why));
            continue;
        }
        if (e.name.p == NULL)
            TRY(master_entry_parse(line, r->path, number, r->arena, &e, why));
        TRY(edit_entry(r, edit, &e, why));
        edit->is_done = true;
        *d = (struct edit_decision){EDIT_REPLACE, formatted(r->arena, &e)};
    }
    return RC_OK;
}

static enum rc rewrite_master(void *context, const char *path, struct str old, struct buf *out,
                              struct why *why)
{
    struct master_run *r = context;

    r->path = path;
    TRY(edit_text(old, decide, r, out, why));
    for (size_t i = 0; i < r->n; i++) {
        struct master_entry e;
        if (r->edits[i].kind != MASTER_EDIT_ENTRY || r->edits[i].is_done)
            continue;
        TRY(parse_request(r, &r->edits[i], &e, why));
        edit_add_line(out, formatted(r->arena, &e));
        r->edits[i].is_done = true;
    }
    return RC_OK;
}

enum rc master_cf_edit(const char *dir, struct master_edit *edits, size_t n, struct why *why)
{
    AUTO_ARENA a = arena_new(4096);
    struct master_run r = {edits, n, NULL, a};

    return edit_file(dir, "master.cf", rewrite_master, &r, why);
}
