/* Entries of master.cf in columns, for listing and for writing them back. */
#include "config/master_cf.h"

enum { LINE_LENGTH = 80, INDENT = 4 };

/* A line under construction. */
struct layout {
    struct buf *out;
    size_t column;
    bool fold;
};

static void add_text(struct layout *l, struct str text)
{
    buf_add(l->out, text);
    l->column += text.n;
}

/* What separates this text from what stands before it. */
static void add_gap(struct layout *l, size_t text_bytes)
{
    if (!l->fold || l->column + 1 + text_bytes < LINE_LENGTH) {
        add_text(l, STR(" "));
        return;
    }
    buf_add(l->out, STR("\n    "));
    l->column = INDENT;
}

static void end_line(struct layout *l)
{
    if (l->fold)
        l->column = LINE_LENGTH;
}

static bool needs_braces(struct str arg)
{
    return arg.n == 0 || arg.p[0] == '{' || str_index_any(arg, " \t\r\n\v\f") >= 0;
}

static void add_arg(struct layout *l, struct str arg)
{
    bool braces = needs_braces(arg);

    if (arg.n && arg.p[0] == '#') /* at the start of a line it would begin a comment */
        add_text(l, STR(" "));
    else
        add_gap(l, arg.n + (braces ? 2 : 0));
    if (braces)
        add_text(l, STR("{"));
    add_text(l, arg);
    if (braces)
        add_text(l, STR("}"));
}

/* "-o" and its setting, without blanks around '='. */
static void add_override(struct layout *l, const struct config_setting *s)
{
    struct str text[] = {s->name, STR("="), s->value};
    bool braces = str_index_any(s->value, " \t\r\n\v\f") >= 0;

    end_line(l);
    add_gap(l, 2);
    add_text(l, braces ? STR("-o {") : STR("-o "));
    for (int i = 0; i < 3; i++)
        add_text(l, text[i]);
    if (braces)
        add_text(l, STR("}"));
    end_line(l);
}

/* Where each field would stand; a long one moves those behind it as little as possible. */
static const size_t columns[MASTER_FIELDS] = {0, 11, 17, 25, 33, 41, 49, 57};

void master_entry_format(const struct master_entry *e, bool fold, struct buf *out)
{
    size_t start = out->n, settings = 0;
    struct layout l = {out, 0, fold};

    for (int i = 0; i < MASTER_FIELDS; i++) {
        if (i)
            buf_addc(out, ' ');
        while (out->n - start < columns[i])
            buf_addc(out, ' ');
        buf_add(out, e->fields[i]);
    }
    l.column = out->n - start;
    for (size_t i = 0; i < e->args_n; i++) {
        if (e->is_override[i]) {
            i += e->args[i].n == 2; /* the setting is the next argument */
            add_override(&l, &e->overrides[settings++]);
        } else {
            add_arg(&l, e->args[i]);
        }
    }
}
