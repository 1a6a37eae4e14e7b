/* Inside of the match rules. */
#pragma once

#include "dispatch/dispatch.h"
#include "util/candidates.h"
#include "util/regex.h"

enum fact {
    FACT_ANY,
    FACT_LOCAL, /* a submission */
    FACT_CLIENT,
    FACT_CLIENT_NAME,
    FACT_FCRDNS,
    FACT_AUTH,
    FACT_SENDER,
    FACT_RECIPIENT,
    FACT_DOMAIN,
    FACT_VIRTUAL, /* the recipient or its domain */
    FACT_HELO,
    FACT_TAG,
    FACT_TLS
};
enum { FACTS = FACT_TLS + 1 };

struct list { /* entries are what they are used as: names, addresses, networks, expressions */
    VEC(struct str) entries;
    struct map exact;                 /* entries without '*', in lower case */
    struct map ends;                  /* those with one '*', in front: what stands behind it */
    struct map domain_ends;           /* "@*end" */
    VEC(struct str) patterns;         /* the others with '*' */
    struct networks networks;         /* those that are one */
    VEC(const regex_t *) expressions; /* when used with ~ */
    struct clause *clauses[FACTS];    /* of the index, while it is filled */
};

struct condition {
    enum fact fact;
    bool negated, regex;
    struct list *list; /* one of these, or neither */
    struct table *table;
};

struct action {
    struct str name;
    bool takes_any;
    struct table *aliases, *virtual, *users; /* NULL: none */
};

struct rule {
    int line;
    VEC(struct condition) conditions;
    const struct action *action; /* NULL: reject */
    struct str reply;
};

struct dispatch {
    struct arena *arena;
    const char *path;
    struct table_env env;
    long stamp_ns;             /* of the file when it was read */
    _Atomic long refused_ns;   /* of the one that was not in order */
    struct map lists, actions; /* by name */
    struct list *last_list;
    VEC(struct rule) rules;
    struct candidates *index; /* of rules, by their places in the list */
    VEC(struct table *) tables;
};

/* index.c: which rules can hold? */
void index_build(struct dispatch *d);
void index_find(const struct dispatch *d, const struct dispatch_facts *f,
                struct candidate_search *s);

/* match.c: RC_OK, RC_NONE, RC_TEMP */
enum rc condition_holds(const struct condition *c, const struct dispatch_facts *f, struct arena *a,
                        struct why *why) MUST_USE;
struct str address_local(struct str address);
struct str address_domain(const struct dispatch_facts *f, struct str address);
