#include "smtpdconf/lexer.h"

#include <limits.h>

#include "util/buf.h"

enum { WORD_MAX_BYTES = 8095, EXPANSIONS_MAX = 64 };
enum { END = -1 };

void lexer_push(struct lexer *l, struct str text, struct str file)
{
    struct source *s = arena_new_of(l->arena, struct source);

    *s = (struct source){.outer = l->source, .text = text, .file = file, .line = 1};
    l->source = s;
    l->depth++;
}

static void push_macro(struct lexer *l, struct str value)
{
    struct source *s = arena_new_of(l->arena, struct source);

    *s = (struct source){.outer = l->source, .text = value, .is_macro = true};
    l->source = s;
    l->depth++;
}

static void pop(struct lexer *l)
{
    l->source = l->source->outer;
    l->depth--;
}

struct macro *lexer_macro(struct lexer *l, struct str name)
{
    for (size_t i = l->macros.n; i-- > 0;)
        if (str_eq(l->macros.v[i].name, name))
            return &l->macros.v[i];
    return NULL;
}

void lexer_define(struct lexer *l, struct str name, struct str value, bool persistent)
{
    struct macro *old = lexer_macro(l, name);

    if (old && old->persistent)
        return;
    if (old)
        old->value = value;
    else
        vec_add(l->arena, &l->macros, ((struct macro){name, value, false, persistent}));
}

static struct source *file_of(struct source *s)
{
    while (s->is_macro && s->outer) /* a macro is always used in a file */
        s = s->outer;
    return s;
}

/* ---- characters ---- */

static int peek_raw(const struct source *s)
{
    return s->at < s->text.n ? (unsigned char)s->text.p[s->at] : END;
}

/* One character, joined lines being one. The end of a macro's text ends a word like a blank. */
static int take(struct lexer *l)
{
    struct source *s = l->source;

    for (;;) {
        int c = peek_raw(s);
        if (c == END)
            return END;
        s->at++;
        if (c != '\\' || s->is_macro || peek_raw(s) != '\n')
            return c;
        s->at++;
        s->line++;
    }
}

static void back(struct lexer *l)
{
    l->source->at--;
}

/* Without a joined line: what comes next? */
static int peek(struct lexer *l)
{
    struct source *s = l->source;

    while (!s->is_macro && s->at + 1 < s->text.n && s->text.p[s->at] == '\\' &&
           s->text.p[s->at + 1] == '\n') {
        s->at += 2;
        s->line++;
    }
    return peek_raw(s);
}

static struct token bad(void)
{
    return (struct token){.kind = TOKEN_BAD};
}

static void skip_blanks(struct lexer *l)
{
    int c;

    while ((c = peek(l)) == ' ' || c == '\t' || (c == '\r' && l->source->said_cr))
        (void)take(l);
}

/* Up to the line's end, which stays. */
static void skip_comment(struct lexer *l)
{
    int c;

    while ((c = peek(l)) != '\n' && c != END)
        (void)take(l);
}

/* ---- words ---- */

static bool is_word(int c)
{
    return c > ' ' && c < 127 && strchr("(){}<>!=#,\"'", c) == NULL;
}

static bool ends_number(int c)
{
    return c == END || is_white((char)c) || strchr("),/}=", c) != NULL;
}

static bool is_keyword(const struct lexer *l, struct str word)
{
    size_t low = 0, high = l->n_keywords;

    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = str_cmp(word, str_of(l->keywords[middle]));
        if (order == 0)
            return true;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return false;
}

static struct token quoted(struct lexer *l, int quote)
{
    struct buf b;
    struct token t = {.kind = TOKEN_STRING};
    int c;

    buf_init(&b, WORD_MAX_BYTES);
    while ((c = peek_raw(l->source)) != END && c != quote) {
        l->source->at++;
        if (c == '\\') {
            int next = peek_raw(l->source);
            if (next == quote || next == ' ' || next == '\t' || next == '\n') {
                c = next;
                l->source->at++;
            }
        }
        if (c == '\n')
            l->source->line++;
        else
            buf_addc(&b, (char)c);
    }
    if (c == END)
        l->report(l->context, "reached end of file while parsing quoted string");
    else if (b.over)
        l->report(l->context, "string too long");
    if (c == END || b.over)
        t = bad();
    else
        t.text = arena_copy(l->arena, buf_str(&b));
    if (c != END)
        l->source->at++;
    buf_done(&b);
    return t;
}

/* True: what starts here is a number, *t. */
static bool number(struct lexer *l, struct token *t)
{
    struct source *s = l->source;
    size_t end = s->at + (s->text.p[s->at] == '-');
    struct str digits;

    while (end < s->text.n && is_digit(s->text.p[end]))
        end++;
    digits = (struct str){s->text.p + s->at, end - s->at};
    if (digits.n == 0 || !is_digit(digits.p[digits.n - 1]) ||
        !ends_number(end < s->text.n ? (unsigned char)s->text.p[end] : END))
        return false;
    s->at = end;
    t->text = arena_copy(l->arena, digits);
    if (str_to_long(digits, LONG_MIN, LONG_MAX, &t->number)) {
        t->kind = TOKEN_NUMBER;
    } else {
        l->report(l->context, "\"" STR_FMT "\" invalid number: too %s", STR_ARG(digits),
                  digits.p[0] == '-' ? "small" : "large");
        *t = bad();
    }
    return true;
}

static struct token word(struct lexer *l)
{
    struct buf b;
    struct token t = {.kind = TOKEN_STRING};
    int c;

    buf_init(&b, WORD_MAX_BYTES);
    while ((c = peek(l)) != END && is_word(c))
        buf_addc(&b, (char)take(l));
    if (b.over) {
        l->report(l->context, "string too long");
        t = bad();
    } else {
        t.text = arena_copy(l->arena, buf_str(&b));
        if (is_keyword(l, t.text))
            t.kind = TOKEN_KEYWORD;
    }
    buf_done(&b);
    return t;
}

/* $name: its text is read next. False: there is no such macro. */
static bool expand(struct lexer *l)
{
    struct macro *m;
    char name[256];
    size_t n = 0;
    int c;

    while ((c = peek(l)) != END && (is_alnum((char)c) || c == '_')) {
        if (n == sizeof name - 1) {
            l->report(l->context, "string too long");
            return false;
        }
        name[n++] = (char)take(l);
    }
    m = lexer_macro(l, (struct str){name, n});
    if (m == NULL) {
        name[n] = '\0';
        l->report(l->context, "macro '%s' not defined", name);
        return false;
    }
    m->used = true;
    if (l->depth >= EXPANSIONS_MAX) {
        l->report(l->context, "macros are nested too deeply");
        return false;
    }
    push_macro(l, m->value);
    return true;
}

/* End of the innermost text. False: there is more, outside. */
static bool at_end(struct lexer *l, struct token *t)
{
    struct source *s = l->source;

    if (!s->is_macro && !s->line_end_given) {
        s->line_end_given = true;
        *t = (struct token){.kind = TOKEN_LINE_END};
        return true;
    }
    if (s->outer == NULL) {
        *t = (struct token){.kind = TOKEN_END};
        return true;
    }
    pop(l);
    return false;
}

static void set_place(struct lexer *l)
{
    const struct source *f = file_of(l->source);

    l->place = (struct conf_place){f->file, f->line};
}

/* A carriage return is reported once; later ones count as blanks. */
static struct token carriage_return(struct lexer *l)
{
    file_of(l->source)->said_cr = true;
    l->source->said_cr = true;
    l->report(l->context, "carriage return at end of line");
    return bad();
}

static struct token other(struct lexer *l, int c)
{
    if (c == '\r')
        return carriage_return(l);
    if (c == '=' && peek(l) == '>') {
        (void)take(l);
        return (struct token){.kind = TOKEN_ARROW};
    }
    if (c == 0xef && str_has_prefix(str_from(l->source->text, l->source->at), STR("\xbb\xbf"))) {
        l->source->at += 2;
        l->report(l->context, "byte order mark");
        return bad();
    }
    return (struct token){.kind = TOKEN_CHAR, .c = (char)c};
}

struct token lexer_next(struct lexer *l)
{
    struct token t;
    int c;

    for (;;) {
        skip_blanks(l);
        set_place(l);
        c = peek(l);
        if (c == '#' && !l->source->is_macro) {
            skip_comment(l);
            c = peek(l);
        }
        if (c == END) {
            if (at_end(l, &t))
                return t;
            continue;
        }
        if ((c == '-' || is_digit((char)c)) && number(l, &t))
            return t;
        c = take(l);
        if (c != '$' || l->source->is_macro)
            break;
        if (!expand(l))
            return bad();
    }
    if (c == '\n') {
        if (!l->source->is_macro)
            l->source->line++;
        return (struct token){.kind = TOKEN_LINE_END};
    }
    if (c == '"' || c == '\'')
        return quoted(l, c);
    if (is_alnum((char)c) || c == ':' || c == '_') {
        back(l);
        return word(l);
    }
    return other(l, c);
}
