/* Which grammar is it? The first word that only one of them has at the start of a statement. */
#include "smtpdconf/parse.h"

static bool is_in(struct str word, const char *const *words)
{
    for (; *words; words++)
        if (str_eq(word, str_of(*words)))
            return true;
    return false;
}

static const char *const words_2011[] = {"accept", "map", "expire", "size", "hostname", NULL};
static const char *const words_current[] = {"action",    "admd", "bounce", "ca",    "filter",
                                            "match",     "mda",  "mta",    "pki",   "proc",
                                            "scheduler", "smtp", "srs",    "table", NULL};

struct finding {
    struct str word;
    int line;
};

static void ignore(void *context, const char *format, ...)
{
    (void)context;
    (void)format;
}

static void note(struct finding *f, struct str word, int line)
{
    if (f->line == 0)
        *f = (struct finding){word, line};
}

/* "reject" begins a rule of 2011 and ends one of today; "queue" goes on differently. */
static void look(struct lexer *l, struct finding *old, struct finding *current)
{
    struct token t = lexer_next(l), next;
    int depth = 0;

    while (t.kind != TOKEN_END) {
        int line = l->place.line;
        bool is_start = t.kind == TOKEN_STRING && depth == 0;
        struct str word = t.text;
        next = is_start ? lexer_next(l) : t;
        if (is_start && !(next.kind == TOKEN_CHAR && next.c == '=')) {
            bool interval = next.kind == TOKEN_STRING && str_eq(next.text, STR("interval"));
            if (is_in(word, words_2011) || str_eq(word, STR("reject")) ||
                (str_eq(word, STR("queue")) && interval))
                note(old, word, line);
            else if (is_in(word, words_current) || (str_eq(word, STR("queue"))))
                note(current, word, line);
        }
        for (t = next; t.kind != TOKEN_END && (depth > 0 || t.kind != TOKEN_LINE_END);
             t = lexer_next(l)) {
            if (t.kind == TOKEN_CHAR)
                depth += t.c == '{' ? 1 : t.c == '}' && depth > 0 ? -1 : 0;
        }
        if (t.kind != TOKEN_END)
            t = lexer_next(l);
    }
}

enum conf_grammar parse_detect(struct parser *p, struct str text)
{
    struct lexer l = {.arena = p->arena, .report = ignore};
    struct finding old = {0}, current = {0};
    bool is_between;

    lexer_push(&l, text, str_of(p->request->path));
    look(&l, &old, &current);
    if (old.line == 0 || current.line == 0)
        return old.line ? GRAMMAR_2011 : GRAMMAR_CURRENT;
    is_between = (str_eq(old.word, STR("accept")) || str_eq(old.word, STR("expire"))) &&
                 (str_eq(current.word, STR("table")) || str_eq(current.word, STR("pki")) ||
                  str_eq(current.word, STR("filter")) || str_eq(current.word, STR("ca")));
    p->lexer.place.line = old.line > current.line ? old.line : current.line;
    if (is_between)
        (void)parse_error(p,
                          "\"" STR_FMT "\" with \"" STR_FMT
                          "\" (line %d) is the grammar of 2013 to "
                          "2018; supported are that of 2011 (accept, reject, map) and the current "
                          "one (action, match, table)",
                          STR_ARG(old.line > current.line ? old.word : current.word),
                          STR_ARG(old.line > current.line ? current.word : old.word),
                          old.line > current.line ? current.line : old.line);
    else
        (void)parse_error(p,
                          "two grammars in one file: \"" STR_FMT
                          "\" at line %d is of 2011, \"" STR_FMT "\" at line %d is current",
                          STR_ARG(old.word), old.line, STR_ARG(current.word), current.line);
    return GRAMMAR_AUTO;
}
