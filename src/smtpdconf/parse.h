/* Inside of the parser: what its files share. One token is looked ahead. */
#pragma once

#include "smtpdconf/lexer.h"
#include "util/map.h"

struct parser {
    struct arena *arena;
    struct conf *conf;
    const struct conf_request *request;
    struct lexer lexer;
    struct token token; /* the next one */
    bool broken;        /* in this statement; the rest of the line is skipped */
    size_t n_dynamic;   /* tables without a name */
};

/* ---- tokens (parse.c) ---- */
void parse_advance(struct parser *p);
bool parse_is_word(const struct parser *p, const char *keyword);
bool parse_is_char(const struct parser *p, char c);
bool parse_take_word(struct parser *p, const char *keyword); /* advances when it is there */
bool parse_take_char(struct parser *p, char c);
bool parse_take_string(struct parser *p, struct str *out);
bool parse_at_line_end(const struct parser *p);
void parse_skip_lines(struct parser *p); /* line ends inside of braces */

/* Must be there, or it is a syntax error; false then. */
bool parse_want_word(struct parser *p, const char *keyword);
bool parse_want_char(struct parser *p, char c);
bool parse_want_string(struct parser *p, struct str *out);
bool parse_want_number(struct parser *p, long *out);

/* ---- messages ---- */
bool parse_syntax_error(struct parser *p);                                     /* false */
bool parse_error(struct parser *p, const char *format, ...) PRINTF_LIKE(2, 3); /* false */
/* About no line: "smtpd: TEXT". The statement goes on. */
void parse_complaint(struct parser *p, const char *format, ...) PRINTF_LIKE(2, 3);

/* A finished line that is an error. */
void parse_note(struct parser *p, struct str text);

/* "X already specified..." when it was set before; false then. */
bool parse_once(struct parser *p, bool before, const char *what);

/* ---- values ---- */
/* digits and a unit, at least 1 */
bool parse_delay(struct str text, long *seconds);
/* "35M", "1.5K", "1024" */
bool parse_size(struct str text, long *bytes);
/* what: of which setting, for the message; NULL: ttl of an action or of SRS, which has words of its
 * own */
bool parse_want_delay(struct parser *p, const char *what, long *seconds);
bool parse_want_port(struct parser *p, bool mail_names, unsigned *port);

struct conf_names {
    struct map tables, actions;
};

/* ---- tables ---- */
struct conf_table *parse_new_table(struct parser *p);
void parse_add_table(struct parser *p, struct conf_table *t); /* under its name */
void parse_add_action(struct parser *p, struct conf_action *a);
/* <name>, a value, { values }: NULL after an error. */
struct conf_table *parse_want_table(struct parser *p);
bool parse_starts_table(const struct parser *p);
bool parse_table_is(struct parser *p, const struct conf_table *t, unsigned kinds, const char *use);
/* For messages; one without a name has a number. */
struct str parse_table_title(struct parser *p, const struct conf_table *t);
enum {
    AS_LIST = 1 << TABLE_IS_LIST,
    AS_MAP = 1 << TABLE_IS_MAP,
    AS_BACKEND = 1 << TABLE_IS_BACKEND
};
bool parse_table(struct parser *p);
/* Entries of a file; false: reported. */
bool parse_table_file(struct parser *p, struct conf_table *t);

/* ---- statements of the two grammars ---- */
bool parse_statement_2011(struct parser *p);
bool parse_statement_current(struct parser *p);
bool parse_listen(struct parser *p);
bool parse_action(struct parser *p);
bool parse_match(struct parser *p);
bool parse_filter(struct parser *p);
bool parse_proc(struct parser *p);
/* `filter NAME` or `filter { a, b }` of a listener or action: the name. */
bool parse_filter_reference(struct parser *p, struct str *name);
void parse_check_references(struct parser *p);

/* Is it an address, an interface or a name that can be listened on? */
bool parse_is_interface(struct str name);

/* grammar.c: which one is it? GRAMMAR_AUTO: both, which was reported. */
enum conf_grammar parse_detect(struct parser *p, struct str text);

extern const char *const keywords_2011[], *const keywords_current[];
extern const size_t n_keywords_2011, n_keywords_current;
