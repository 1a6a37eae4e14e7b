/*
 * Words of smtpd.conf. A backslash at a line's end joins it to the next, also inside a comment;
 * $name is replaced by a macro's text, which is read like the file; include files are read in
 * place.
 */
#pragma once

#include "smtpdconf/smtpdconf.h"

enum token_kind {
    TOKEN_END,
    TOKEN_LINE_END,
    TOKEN_KEYWORD,
    TOKEN_STRING,
    TOKEN_NUMBER,
    TOKEN_CHAR,  /* any other single character */
    TOKEN_ARROW, /* => */
    TOKEN_BAD    /* the words were reported already */
};

struct token {
    enum token_kind kind;
    struct str text;
    long number;
    char c;
};

struct source { /* a file, or the text of a macro */
    struct source *outer;
    struct str text;
    size_t at;
    struct str file;
    int line;
    bool is_macro;
    bool line_end_given; /* a file's last line ends, whether it says so or not */
    bool said_cr;
};

struct macro {
    struct str name, value;
    bool used, persistent; /* persistent: of the command line */
};

struct lexer {
    struct arena *arena;
    struct source *source;       /* NULL: at the end of all */
    struct conf_place place;     /* of the latest token */
    const char *const *keywords; /* sorted; NULL: none */
    size_t n_keywords;
    VEC(struct macro) macros;
    void (*report)(void *context, const char *format, ...) PRINTF_LIKE(2, 3);
    void *context;
    int depth; /* of include files */
};

/* text must outlive the lexer. */
void lexer_push(struct lexer *l, struct str text, struct str file);
struct token lexer_next(struct lexer *l);
struct macro *lexer_macro(struct lexer *l, struct str name); /* NULL: not defined */
void lexer_define(struct lexer *l, struct str name, struct str value, bool persistent);
