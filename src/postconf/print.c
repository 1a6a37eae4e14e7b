#include <stdio.h>

#include "postconf/postconf.h"

enum { LINE_LENGTH = 80, INDENT = 4 };

static void put(struct str s)
{
    fwrite(s.p, 1, s.n, stdout);
}

/* Words with one blank between them; with -f no line longer than it must be. */
static void print_words(const struct options *o, size_t column, struct str value)
{
    struct str word;
    bool is_first = true;

    while (str_token(&value, " \t\r\n", &word)) {
        if (is_first && column == 0) {
            /* at the left margin already: -h */
        } else if (o->folded && column > INDENT && column + 1 + word.n > LINE_LENGTH &&
                   word.p[0] != '#') { /* that would begin a comment */
            fputs("\n    ", stdout);
            column = INDENT;
        } else {
            putchar(' ');
            column++;
        }
        put(word);
        column += word.n;
        is_first = false;
    }
    putchar('\n');
}

static void print_json_text(struct str text)
{
    putchar('"');
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        switch (c) {
        case '"': fputs("\\\"", stdout); break;
        case '\\': fputs("\\\\", stdout); break;
        case '\b': fputs("\\b", stdout); break;
        case '\f': fputs("\\f", stdout); break;
        case '\n': fputs("\\n", stdout); break;
        case '\r': fputs("\\r", stdout); break;
        case '\t': fputs("\\t", stdout); break;
        default:
            if (c < 32 || c == 127)
                printf("\\u%04X", c);
            else
                putchar(c);
        }
    }
    putchar('"');
}

static struct str one_blank(struct arena *a, struct str value)
{
    AUTO_BUF text;
    struct str word;

    buf_init(&text, value.n + 1);
    while (str_token(&value, " \t\r\n", &word)) {
        if (text.n)
            buf_addc(&text, ' ');
        buf_add(&text, word);
    }
    return arena_copy(a, buf_str(&text));
}

void print_json(const char *name, struct str value)
{
    AUTO_ARENA a = arena_new(value.n + 64);

    putchar('{');
    print_json_text(str_of(name));
    fputs(": ", stdout);
    print_json_text(one_blank(a, value));
    fputs("}\n", stdout);
}

void print_setting(const struct options *o, const char *name, struct str value)
{
    if (o->json) {
        print_json(name, value);
    } else if (o->only_names) {
        puts(name);
    } else if (o->no_names) {
        print_words(o, 0, value);
    } else {
        printf("%s =", name);
        print_words(o, strlen(name) + 2, value);
    }
}
