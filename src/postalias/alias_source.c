#include "global/address.h"
#include "postalias/postalias.h"
#include "util/buf.h"

enum { ALIAS_MAX = 16 * 1024 * 1024 };

/* ---- words, as in RFC 5322 3.2 ---- */

enum token_kind { TOKEN_ATOM, TOKEN_QUOTED, TOKEN_COMMENT, TOKEN_LITERAL, TOKEN_OPERATOR };

struct token {
    enum token_kind kind;
    struct str text; /* ATOM, QUOTED: what it means, in the arena; others: as it stands */
};

static bool is_operator(char c)
{
    return c == '<' || c == '>' || c == '@' || c == ',' || c == ';' || c == ':' || c == '.';
}

static bool ends_atom(char c)
{
    return is_white(c) || is_operator(c) || c == '"' || c == '(' || c == '[';
}

/* Copy up to the end of an atom, or to the closing quote; backslashes go. Returns bytes used. */
static size_t take_word(struct str text, bool quoted, struct arena *a, struct token *t)
{
    char *out = arena_alloc(a, text.n + 1);
    size_t i = quoted, n = 0;

    for (; i < text.n; i++) {
        if (quoted ? text.p[i] == '"' : ends_atom(text.p[i]))
            break;
        if (text.p[i] == '\\' && i + 1 < text.n)
            i++;
        out[n++] = text.p[i];
    }
    t->kind = quoted ? TOKEN_QUOTED : TOKEN_ATOM;
    t->text = (struct str){out, n};
    return i + (quoted && i < text.n);
}

/* "(...)" with comments inside, or "[...]". */
static size_t take_enclosed(struct str text, struct token *t)
{
    char open = text.p[0], close = open == '(' ? ')' : ']';
    size_t i = 0;
    int depth = 0;

    do {
        if (text.p[i] == '\\')
            i++;
        else if (text.p[i] == open && (depth == 0 || open == '('))
            depth++;
        else if (text.p[i] == close)
            depth--;
        i++;
    } while (i < text.n && depth > 0);
    if (i > text.n)
        i = text.n;
    t->kind = open == '(' ? TOKEN_COMMENT : TOKEN_LITERAL;
    t->text = str_head(text, i);
    return i;
}

static bool next_token(struct str *text, struct arena *a, struct token *t)
{
    size_t used;

    *text = str_ltrim(*text);
    if (text->n == 0)
        return false;
    if (is_operator(text->p[0])) {
        *t = (struct token){TOKEN_OPERATOR, str_head(*text, 1)};
        used = 1;
    } else if (text->p[0] == '(' || text->p[0] == '[') {
        used = take_enclosed(*text, t);
    } else {
        used = take_word(*text, text->p[0] == '"', a, t);
    }
    *text = str_from(*text, used);
    return true;
}

/* ---- output ---- */

static void add_quoted(struct buf *b, struct str text)
{
    buf_addc(b, '"');
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '"' || text.p[i] == '\\')
            buf_addc(b, '\\');
        buf_addc(b, text.p[i]);
    }
    buf_addc(b, '"');
}

static bool atom_needs_quotes(struct str text)
{
    for (size_t i = 0; i < text.n; i++)
        if (ends_atom(text.p[i]) || text.p[i] == '\\')
            return true;
    return text.n == 0;
}

static void add_token(struct buf *b, const struct token *t, bool with_quotes)
{
    switch (t->kind) {
    case TOKEN_QUOTED:
    case TOKEN_ATOM:
        if (with_quotes && (t->kind == TOKEN_QUOTED || atom_needs_quotes(t->text)))
            add_quoted(b, t->text);
        else
            buf_add(b, t->text);
        break;
    case TOKEN_OPERATOR:
        buf_add(b, t->text);
        if (t->text.p[0] == ',')
            buf_addc(b, ' ');
        break;
    case TOKEN_COMMENT: buf_add(b, t->text); break;
    case TOKEN_LITERAL:
        buf_add(b, t->text);
        if (t->text.p[t->text.n - 1] != ']')
            buf_addc(b, ']');
        break;
    }
}

/* Two words, or a word and "<", have a blank between them; |"a command" has none. */
static void add_spaced(struct buf *b, const struct token *t, const struct token *before,
                       bool with_quotes)
{
    bool after_word = b->n && before->kind != TOKEN_OPERATOR;
    bool command = before->kind == TOKEN_ATOM && str_eq(before->text, STR("|"));

    if (after_word && (t->kind == TOKEN_OPERATOR ? t->text.p[0] == '<' : !command))
        buf_addc(b, ' ');
    add_token(b, t, with_quotes);
}

/* ---- entries ---- */

/* The name as a local part of an address: '@' has no meaning in it. */
static struct str quoted_name(struct arena *a, struct str name)
{
    struct str whole = address_quote_822(a, arena_join(a, name, STR("@d")));

    return str_head(whole, whole.n - 2);
}

static enum rc split_name(struct str *line, struct arena *a, struct str *key, struct why *why)
{
    struct token t, before = {TOKEN_OPERATOR, STR_NONE};
    bool empty = true;
    AUTO_BUF name = {0};

    buf_init(&name, ALIAS_MAX);
    while (next_token(line, a, &t)) {
        if (t.kind == TOKEN_OPERATOR && t.text.p[0] == ':') {
            *key = arena_copy(a, buf_str(&name));
            return empty ? FAIL(why, RC_PERM, "need name:value pair") : RC_OK;
        }
        if (t.kind == TOKEN_OPERATOR && t.text.p[0] == '@')
            return FAIL(why, RC_PERM, "name must be local");
        add_spaced(&name, &t, &before, false);
        before = t;
        empty = false;
    }
    return FAIL(why, RC_PERM, "need name:value pair");
}

static enum rc split_entry(struct str line, struct arena *a, struct str *key, struct str *value,
                           struct why *why)
{
    struct token t, before = {TOKEN_OPERATOR, STR_NONE};
    AUTO_BUF text = {0};

    TRY(split_name(&line, a, key, why));
    buf_init(&text, ALIAS_MAX);
    while (next_token(&line, a, &t)) {
        add_spaced(&text, &t, &before, true);
        before = t;
    }
    if (text.n == 0)
        return FAIL(why, RC_PERM, "need name:value pair");
    if (key->n == 0)
        return FAIL(why, RC_PERM, "empty name");
    *key = quoted_name(a, *key);
    *value = arena_copy(a, buf_str(&text));
    return RC_OK;
}

bool alias_entry(struct source *s, const char *path, bool utf8, const struct log *log,
                 struct arena *a, struct str *key, struct str *value)
{
    struct str line;

    while (source_next(s, a, &line)) {
        struct why why;
        if (!source_line_is_fit(s, path, utf8, log, line))
            continue;
        if (split_entry(line, a, key, value, &why) == RC_OK)
            return true;
        if (log)
            log_warning(log, "%s, line %ld: %s", path, s->line, why.text);
    }
    return false;
}

struct str alias_other_key(struct arena *a, struct str key)
{
    bool quoted = key.n >= 2 && key.p[0] == '"' && key.p[key.n - 1] == '"';

    return quoted ? address_unquote(a, key) : quoted_name(a, key);
}
