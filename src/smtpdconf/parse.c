/* The frame of the parser: tokens, messages, statements that both grammars have. */
#include "smtpdconf/parse.h"

#include <errno.h>

#include "util/buf.h"
#include "util/file.h"

enum { FILE_MAX = 16 * 1024 * 1024, MESSAGES_MAX = 1000, INCLUDES_MAX = 32 };

/* ---- messages ---- */

static void add_message(struct parser *p, bool is_error, struct str text)
{
    if (is_error)
        p->conf->n_errors++;
    if (p->conf->messages.n < MESSAGES_MAX)
        vec_add(p->arena, &p->conf->messages, ((struct conf_message){is_error, text}));
}

PRINTF_LIKE(2, 0)
static void report(struct parser *p, const char *format, va_list args)
{
    AUTO_BUF b;

    buf_init(&b, 10000);
    buf_addf(&b, STR_FMT ":%d: ", STR_ARG(p->lexer.place.file), p->lexer.place.line);
    buf_vaddf(&b, format, args);
    add_message(p, true, arena_copy(p->arena, buf_str(&b)));
}

__attribute__((format(printf, 2, 3))) static void lexer_report(void *context, const char *format,
                                                               ...)
{
    va_list args;

    va_start(args, format);
    report(context, format, args);
    va_end(args);
}

bool parse_error(struct parser *p, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    report(p, format, args);
    va_end(args);
    p->broken = true;
    return false;
}

bool parse_syntax_error(struct parser *p)
{
    return p->broken ? false : parse_error(p, "syntax error");
}

void parse_complaint(struct parser *p, const char *format, ...)
{
    va_list args;
    AUTO_BUF b;

    buf_init(&b, 10000);
    buf_addf(&b, "%s: ", p->request->program ? p->request->program : "smtpd");
    va_start(args, format);
    buf_vaddf(&b, format, args);
    va_end(args);
    add_message(p, true, arena_copy(p->arena, buf_str(&b)));
}

void parse_note(struct parser *p, struct str text)
{
    add_message(p, true, text);
}

bool parse_once(struct parser *p, bool before, const char *what)
{
    return before ? parse_error(p, "%s", what) : true;
}

/* ---- tokens ---- */

void parse_advance(struct parser *p)
{
    p->token = lexer_next(&p->lexer);
}

bool parse_is_word(const struct parser *p, const char *keyword)
{
    return p->token.kind == TOKEN_KEYWORD && str_eq(p->token.text, str_of(keyword));
}

bool parse_is_char(const struct parser *p, char c)
{
    return p->token.kind == TOKEN_CHAR && p->token.c == c;
}

bool parse_take_word(struct parser *p, const char *keyword)
{
    if (!parse_is_word(p, keyword))
        return false;
    parse_advance(p);
    return true;
}

bool parse_take_char(struct parser *p, char c)
{
    if (!parse_is_char(p, c))
        return false;
    parse_advance(p);
    return true;
}

bool parse_take_string(struct parser *p, struct str *out)
{
    if (p->token.kind != TOKEN_STRING)
        return false;
    *out = p->token.text;
    parse_advance(p);
    return true;
}

bool parse_at_line_end(const struct parser *p)
{
    return p->token.kind == TOKEN_LINE_END || p->token.kind == TOKEN_END;
}

void parse_skip_lines(struct parser *p)
{
    while (p->token.kind == TOKEN_LINE_END)
        parse_advance(p);
}

bool parse_want_word(struct parser *p, const char *keyword)
{
    return parse_take_word(p, keyword) || parse_syntax_error(p);
}

bool parse_want_char(struct parser *p, char c)
{
    return parse_take_char(p, c) || parse_syntax_error(p);
}

bool parse_want_string(struct parser *p, struct str *out)
{
    return parse_take_string(p, out) || parse_syntax_error(p);
}

bool parse_want_number(struct parser *p, long *out)
{
    if (p->token.kind != TOKEN_NUMBER)
        return parse_syntax_error(p);
    *out = p->token.number;
    parse_advance(p);
    return true;
}

/* ---- statements of both grammars ---- */

/* macro = value ...; the current grammar takes several words. */
static bool macro(struct parser *p, struct str name)
{
    AUTO_BUF value;
    struct str part;

    buf_init(&value, 8095);
    parse_advance(p);
    while (parse_take_string(p, &part)) {
        if (value.n)
            buf_addc(&value, ' ');
        buf_add(&value, part);
        if (p->conf->grammar == GRAMMAR_2011)
            break;
    }
    if (value.n == 0 || !parse_at_line_end(p))
        return parse_syntax_error(p);
    if (value.over)
        return parse_error(p, "string too long");
    if (str_index_any(name, " \t") >= 0)
        return parse_error(p, "macro name cannot contain whitespace");
    lexer_define(&p->lexer, name, arena_copy(p->arena, buf_str(&value)), false);
    return true;
}

static bool include(struct parser *p)
{
    struct str path, text;
    struct why why = {0};
    enum rc rc;

    parse_advance(p);
    if (p->token.kind != TOKEN_STRING)
        return parse_syntax_error(p);
    path = p->token.text;
    if (p->request->offline || p->lexer.depth > INCLUDES_MAX)
        return parse_error(p, "failed to include file " STR_FMT, STR_ARG(path));
    rc = file_read(path.p, FILE_MAX, p->arena, &text, &why);
    if (rc != RC_OK) {
        add_message(p, true,
                    rc == RC_NONE ? arena_printf(p->arena, STR_FMT ": No such file or directory",
                                                 STR_ARG(path))
                                  : arena_copy(p->arena, str_of(why.text)));
        return parse_error(p, "failed to include file " STR_FMT, STR_ARG(path));
    }
    parse_advance(p);
    if (!parse_at_line_end(p))
        return parse_syntax_error(p);
    lexer_push(&p->lexer, text, path);
    return true;
}

static bool statement(struct parser *p)
{
    if (parse_is_word(p, "include"))
        return include(p);
    if (p->token.kind == TOKEN_STRING) {
        struct str name = p->token.text;
        parse_advance(p);
        return parse_is_char(p, '=') ? macro(p, name) : parse_syntax_error(p);
    }
    return p->conf->grammar == GRAMMAR_2011 ? parse_statement_2011(p) : parse_statement_current(p);
}

/* After an error: on with the next line. */
static void skip_rest(struct parser *p)
{
    while (!parse_at_line_end(p))
        parse_advance(p);
}

static void statements(struct parser *p)
{
    parse_advance(p);
    while (p->token.kind != TOKEN_END) {
        p->broken = false;
        if (p->token.kind != TOKEN_LINE_END && (!statement(p) || !parse_at_line_end(p))) {
            (void)parse_syntax_error(p);
            skip_rest(p);
        }
        if (p->token.kind == TOKEN_LINE_END)
            parse_advance(p);
    }
}

static void warn_unused_macros(struct parser *p)
{
    for (size_t i = 0; p->request->verbose && i < p->lexer.macros.n; i++) {
        const struct macro *m = &p->lexer.macros.v[i];
        if (!m->used)
            add_message(
                p, false,
                arena_printf(p->arena, "warning: macro '" STR_FMT "' not used", STR_ARG(m->name)));
    }
}

static void use_grammar(struct parser *p, enum conf_grammar grammar)
{
    p->conf->grammar = grammar;
    p->lexer.keywords = grammar == GRAMMAR_2011 ? keywords_2011 : keywords_current;
    p->lexer.n_keywords = grammar == GRAMMAR_2011 ? n_keywords_2011 : n_keywords_current;
}

static void parse_text(struct parser *p, struct str text)
{
    struct str name = str_of(p->request->path);
    enum conf_grammar grammar = p->request->grammar;

    for (size_t i = 0; i < p->request->n_macros; i++)
        lexer_define(&p->lexer, p->request->macros[i].name, p->request->macros[i].value, true);
    if (grammar == GRAMMAR_AUTO)
        grammar = parse_detect(p, text);
    if (grammar == GRAMMAR_AUTO)
        return; /* both, as was reported */
    use_grammar(p, grammar);
    lexer_push(&p->lexer, text, name);
    statements(p);
    parse_check_references(p);
    warn_unused_macros(p);
    if (p->conf->n_errors == 0 && p->conf->rules.n == 0)
        add_message(p, true, STR("warn: no rules, nothing to do"));
}

static void forget_names(void *what)
{
    struct conf_names *names = what;

    map_done(&names->tables);
    map_done(&names->actions);
}

enum rc conf_read(const struct conf_request *request, struct arena *a, struct conf *conf)
{
    struct parser p = {.arena = a, .conf = conf, .request = request};
    struct str text = STR("");
    struct why why = {0};

    *conf = (struct conf){.grammar = request->grammar, .names = arena_new_of(a, struct conf_names)};
    map_init(&conf->names->tables);
    map_init(&conf->names->actions);
    arena_defer(a, forget_names, conf->names);
    p.lexer = (struct lexer){.arena = a, .report = lexer_report, .context = &p};
    p.lexer.place.file = str_of(request->path);
    if (request->text) {
        text = *request->text;
    } else {
        enum rc rc = file_read(request->path, FILE_MAX, a, &text, &why);
        if (rc == RC_NONE)
            add_message(&p, true, arena_printf(a, "%s: No such file or directory", request->path));
        else if (rc != RC_OK)
            add_message(&p, true, arena_copy(a, str_of(why.text)));
        if (rc != RC_OK)
            return rc == RC_NONE ? RC_NONE : RC_CONFIG;
    }
    parse_text(&p, text);
    return conf->n_errors ? RC_CONFIG : RC_OK;
}
