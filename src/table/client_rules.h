/*
 * Rules about clients: tables that say for a client, by address, name and user, whether it may
 * connect and which variables hold for it. tcprules: and ipsvd: tables have a search of their own;
 * in all others the keys are tried one after the other, most specific first.
 */
#pragma once

#include "config/config.h"
#include "table/table.h"
#include "util/net.h"

enum client_decision {
    CLIENT_NO_RULE,
    CLIENT_ALLOW,
    CLIENT_DENY,
    CLIENT_RUN, /* ipsvd: run text with a shell instead of a session */
};

struct client_query {
    struct addr address;
    struct str name, user; /* empty: not known */
    /* Is the client one of the addresses of host? RC_OK, RC_NONE, RC_TEMP. NULL: never. */
    enum rc (*has_address)(void *context, struct str host, const struct addr *client);
    void *context;
};

struct client_rule {
    enum client_decision decision;
    struct str text;                      /* CLIENT_DENY: reply text, or empty */
    struct str key;                       /* as written */
    struct str file;                      /* empty: the table has no files */
    long line;                            /* 0: not known */
    VEC(struct config_setting) variables; /* as written */
    VEC(struct str) unset;                /* not to be in the environment of programs */
};

/*
 * RC_NONE: no rule. RC_TEMP: the table does not answer. RC_CONFIG: what it answers is no rule, or
 * has a bad variable. The rule lives in the arena.
 */
enum rc client_rule_find(struct table *t, const struct client_query *query, struct arena *a,
                         struct client_rule *rule, struct why *why) MUST_USE;

/* Visit each rule, which is gone afterwards. RC_PERM: the table cannot be listed. What visit()
 * returns ends it unless RC_OK. */
typedef enum rc client_rule_visit(void *context, const struct client_rule *rule, struct why *why);
enum rc client_rules_each(struct table *t, client_rule_visit *visit, void *context,
                          struct why *why) MUST_USE;

/* Has it rules with "user@"? Tables that cannot be listed: no. */
bool client_rules_want_user(struct table *t);

/*
 * The text form that any table can hold:
 *   [allow|deny [text]] [name=value | { name = value with blanks }] ... separated by comma or blank
 */
enum rc client_rule_parse(struct str value, struct arena *a, struct client_rule *rule,
                          struct why *why) MUST_USE;

/* The same with tcprules' quotes: allow,NAME="value",... */
struct str client_rule_text(struct arena *a, const struct client_rule *rule);

/* Copy all of it into the arena. */
void client_rule_own(struct client_rule *rule, struct arena *a);

/* The network that a rule's key stands for: an address, "10.2.", "10.2" or with a mask. False:
 * none.
 */
bool client_rule_network(struct str key, struct network *n);

/* "ADDR[,NAME[,USER]]", as postmap -q takes it. RC_PERM: no address. */
enum rc client_query_parse(struct str text, struct client_query *query, struct why *why) MUST_USE;
