/*
 * Which of many rules can match? An index for rules of which the first that matches decides.
 *
 * A rule is a number with some clauses, all of which must hold for it to match. A clause is a set
 * of keys: it can hold only when one of them fits a text at hand (the whole, its beginning, its
 * end), or a network of it has an address at hand. Rules may share a clause. Each rule is filed
 * under one of its clauses, the one whose keys the fewest rules share; a rule without clauses is
 * always a candidate. Whether a candidate matches is for the caller to find out.
 *
 * Fields are numbers of the caller that keep texts of different meaning apart. Texts and patterns
 * are in lower case. Filled by one thread; read-only after candidates_build().
 */
#pragma once

#include "util/arena.h"
#include "util/networks.h"

enum { CANDIDATE_FIELDS = 16, CANDIDATE_KEY_MAX = 512 };

struct candidates;
struct clause;

struct candidates *candidates_new(struct arena *a); /* lives in the arena */

/* ---- filling ---- */

struct clause *clause_new(struct candidates *c);
/* '*': any run of bytes. Without a literal beginning or end the clause says nothing any more. */
void clause_add_pattern(struct candidates *c, struct clause *l, int field, struct str pattern);
void clause_add_network(struct candidates *c, struct clause *l, int field,
                        const struct network *network);
void clause_spoil(struct clause *l); /* it may hold for something that has no key */

/* In ascending order of numbers. The clauses are complete. */
void candidates_add(struct candidates *c, unsigned number, struct clause *const *clauses, size_t n);
void candidates_build(struct candidates *c); /* once, at the end; clauses are gone then */

/* ---- asking: what is at hand, then one candidate after the other ---- */

enum { NO_CANDIDATE = -1 };

struct cursor {
    const unsigned *at, *end;
};

struct candidate_search { /* = {.arena = a} */
    struct arena *arena;
    VEC(struct cursor) heap; /* the smallest number is in front */
};

/* What needs no text or address. */
void search_always(const struct candidates *c, struct candidate_search *s);
void search_text(const struct candidates *c, struct candidate_search *s, int field,
                 struct str text);
void search_address(const struct candidates *c, struct candidate_search *s, int field,
                    const struct addr *address);
/* Ascending, each once; NO_CANDIDATE: no more. */
long search_next(struct candidate_search *s);
