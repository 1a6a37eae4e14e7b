/* What check rules are parsed into. */
#pragma once

#include "access/rules.h"
#include "util/candidates.h"
#include "util/regex.h"

enum text_kind { TEXT_ANY, TEXT_EXACT, TEXT_WILD, TEXT_REGEX };

struct text_pattern {
    enum text_kind kind;
    struct str text; /* EXACT, WILD: lower case; "*" matches any run */
    const regex_t *regex;
};

enum token_kind {
    TOKEN_ALL,
    TOKEN_KNOWN,
    TOKEN_UNKNOWN,
    TOKEN_TRUSTED,
    TOKEN_UNTRUSTED,
    TOKEN_NS,
    TOKEN_RBL,
    TOKEN_NETWORK,
    TOKEN_TEXT,
    TOKEN_NULL_SENDER,
};

enum user_kind {
    USER_NONE, /* nothing stands before an '@' */
    USER_KNOWN,
    USER_IDENT, /* USER: the user of the client host */
    USER_TEXT,
};

enum ns_kind { NS_ALL, NS_KNOWN, NS_UNKNOWN, NS_NETWORK, NS_TEXT };

struct token {
    enum token_kind kind;
    enum user_kind user;
    struct text_pattern user_text; /* USER_TEXT */
    struct text_pattern text;      /* TOKEN_TEXT, NS_TEXT */
    const struct network *network; /* TOKEN_NETWORK, NS_NETWORK */
    enum ns_kind ns;               /* TOKEN_NS */
    struct str zone;               /* TOKEN_RBL */
};

struct token_group {
    const struct token *tokens;
    size_t n;
};

enum rule_field { FIELD_SOURCE, FIELD_FROM, FIELD_TO, FIELDS };

struct rule_list { /* group EXCEPT group EXCEPT group ... */
    const struct token_group *groups;
    size_t n;
    bool asks_ident, asks_dns;
};

struct rule {
    enum rule_action action;
    long line;
    struct rule_list lists[FIELDS];
    unsigned char order[FIELDS]; /* the cheap ones first */
    struct str message;
};

struct rules {
    unsigned users; /* of rules_file.c, under its lock */
    struct arena *arena;
    VEC(struct rule) list;
    bool asks_ident;
    struct candidates *index;
};

/* rules_token.c: one list, "token token EXCEPT token". */
enum rc rule_list_parse(struct arena *a, enum rule_field field, struct str text,
                        struct rule_list *out, struct why *why) MUST_USE;

bool text_matches(const struct text_pattern *p, struct str lower, bool *trouble);

/* rules_index.c */
void rules_index_build(struct rules *r);

/* The texts that rules are compared with; all in lower case. */
struct rule_subject {
    struct str whole, local, domain;
    bool is_given, has_domain;
};

struct ns_servers;

struct rule_query {
    struct access_context *c;
    struct str name; /* of the client; "unknown" when there is none */
    bool name_is_known;
    struct str address_text;
    struct rule_subject from, to;
    struct ns_servers *ns; /* what was found out for this recipient */
    struct why *why;
};

/* Begins the search for the numbers of rules that can fit. */
void rules_index_find(const struct rules *r, const struct rule_query *q,
                      struct candidate_search *s);

/* rules_dns.c. RC_OK: matches; RC_NONE; RC_TEMP: DNS does not tell. */
enum rc ns_matches(struct rule_query *q, const struct token *t, struct str domain);
enum rc rbl_matches(struct rule_query *q, const struct token *t);
struct str client_domain(struct rule_query *q); /* name, or the reverse zone's */
