/*
 * Commands are rows of words; on the command line each may be cut to the shortest prefix that no
 * other word at its place has. Words of the other set (2011, current) must be written in full.
 */
#include <stdlib.h>

#include "smtpctl/smtpctl.h"

enum { WORDS_MAX = 8 };

struct candidate {
    const struct verb *verb;
    struct str word[WORDS_MAX]; /* "show", "<id>", "[id]" */
    size_t n;
    bool is_open; /* agrees with what was read so far */
};

static bool is_parameter(struct str word)
{
    return word.p[0] == '<' || word.p[0] == '[';
}

static void split(struct candidate *c, const struct verb *verb)
{
    struct str rest = str_of(verb->pattern), word;

    *c = (struct candidate){.verb = verb, .is_open = true};
    while (c->n < WORDS_MAX && str_token(&rest, " ", &word))
        c->word[c->n++] = word;
}

static bool is_in_set(const struct smtpctl *s, const struct verb *v)
{
    return v->set == SET_BOTH || v->set == s->set;
}

static bool has_word(const struct candidate *c, size_t place)
{
    return c->is_open && place < c->n && !is_parameter(c->word[place]);
}

/* The word meant at this place; empty: none. *ambiguous: more than one. */
static struct str meant(const struct smtpctl *s, const struct candidate *c, size_t n, size_t place,
                        struct str given, bool *ambiguous)
{
    struct str found = STR_NONE;

    *ambiguous = false;
    for (size_t i = 0; i < n; i++)
        if (has_word(&c[i], place) && str_eq(c[i].word[place], given))
            return given;
    for (size_t i = 0; i < n; i++) {
        if (!has_word(&c[i], place) || !is_in_set(s, c[i].verb) ||
            !str_has_prefix(c[i].word[place], given))
            continue;
        if (found.n && !str_eq(found, c[i].word[place])) {
            *ambiguous = true;
            return STR_NONE;
        }
        found = c[i].word[place];
    }
    return found;
}

static _Noreturn void complain(const struct smtpctl *s, const struct candidate *c, size_t n,
                               size_t place, const char *what, const char *given)
{
    fprintf(stderr, given ? "%s argument: %s\n" : "%s argument\n", what, given);
    fputs("valid commands/args:\n", stderr);
    for (size_t i = 0; i < n; i++) {
        bool is_first = true;
        if (!c[i].is_open || !is_in_set(s, c[i].verb) || place >= c[i].n)
            continue;
        for (size_t j = 0; j < i; j++)
            if (c[j].is_open && is_in_set(s, c[j].verb) && place < c[j].n &&
                str_eq(c[j].word[place], c[i].word[place]))
                is_first = false;
        if (is_first)
            fprintf(stderr, "  " STR_FMT "\n", STR_ARG(c[i].word[place]));
    }
    exit(STATUS_FAILED);
}

/* The row that ends here: its next word, if any, may be left out. */
static const struct candidate *complete(const struct candidate *c, size_t n, size_t place)
{
    for (size_t i = 0; i < n; i++)
        if (c[i].is_open && (c[i].n == place || (c[i].n > place && c[i].word[place].p[0] == '[')))
            return &c[i];
    return NULL;
}

static bool takes_parameter(const struct candidate *c, size_t n, size_t place)
{
    for (size_t i = 0; i < n; i++)
        if (c[i].is_open && place < c[i].n && is_parameter(c[i].word[place]))
            return true;
    return false;
}

static bool has_more(const struct candidate *c, size_t n, size_t place)
{
    for (size_t i = 0; i < n; i++)
        if (c[i].is_open && place < c[i].n)
            return true;
    return false;
}

/* Keep the rows that have this word, or a parameter, there. */
static void narrow(struct candidate *c, size_t n, size_t place, struct str word)
{
    for (size_t i = 0; i < n; i++)
        c[i].is_open = c[i].is_open && place < c[i].n &&
                       (word.n ? str_eq(c[i].word[place], word) : is_parameter(c[i].word[place]));
}

const struct verb *words_find(struct smtpctl *s, const struct verb *verbs, size_t n, int argc,
                              char **argv)
{
    struct candidate *c = arena_array(s->arena, struct candidate, n);
    const struct candidate *found;
    size_t n_parameters = 0, place;

    for (size_t i = 0; i < n; i++)
        split(&c[i], &verbs[i]);
    for (place = 0; (int)place < argc; place++) {
        bool ambiguous;
        struct str word = meant(s, c, n, place, str_of(argv[place]), &ambiguous);
        if (ambiguous)
            complain(s, c, n, place, "ambiguous", argv[place]);
        if (word.n == 0 && !has_more(c, n, place)) {
            fprintf(stderr, "superfluous argument: %s\n", argv[place]);
            exit(STATUS_FAILED);
        }
        if (word.n == 0 && !takes_parameter(c, n, place))
            complain(s, c, n, place, "unknown", argv[place]);
        if (word.n == 0)
            s->words[n_parameters++] = argv[place];
        narrow(c, n, place, word);
    }
    found = complete(c, n, place);
    if (found == NULL)
        complain(s, c, n, place, "missing", NULL);
    return found->verb;
}
