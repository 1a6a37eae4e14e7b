/*
 * Per-client instructions: what smtpd_client_instruction_maps says about a client: let in or not,
 * and the settings of its session.
 *
 * A rule's variables are qmail's (upper case: RELAYCLIENT, MAXRCPTCOUNT ...) or main.cf parameters
 * that a session may have of its own. instructions_find() also gives them as main.cf settings, for
 * config_overlay(). Every rule of a file is checked when it is opened; trouble later is RC_TEMP,
 * and never looks like "no rule".
 */
#pragma once

#include "config/config.h"
#include "dns/dns.h"
#include "table/client_rules.h"

struct instructions;

struct instruction {
    enum client_decision decision; /* CLIENT_ALLOW, CLIENT_DENY, CLIENT_RUN */
    struct str text;               /* CLIENT_DENY: reply text, or empty: close without a word;
                                      CLIENT_RUN: commands of a shell */
    struct str table;              /* "tcprules:/etc/postfix/tcp.smtp" */
    struct str rule;               /* the rule's address as written, "(empty)" for the default */
    struct str file;               /* where it stands; empty when the table has no files */
    long line;                     /* 0: not known */
    const struct config_setting *variables; /* as written */
    size_t n_variables;
    const struct str *unset; /* not to be in the environment of programs */
    size_t n_unset;
    const struct config_setting *settings; /* the same as main.cf parameters */
    size_t n_settings;
};

/* What is known about a client; name and user may be empty. */
struct instruction_client {
    struct addr address;
    struct str name, user;
};

/*
 * tables: value of smtpd_client_instruction_maps, "type:name" ... RC_CONFIG names file and line of
 * a rule with an error. resolver: for the =HOST lines of ipsvd; NULL: they never match.
 */
enum rc instructions_open(struct str tables, const struct table_env *env, struct resolver *resolver,
                          struct instructions **out, struct why *why) MUST_USE;
void instructions_close(struct instructions *i);
bool instructions_have_changed(struct instructions *i); /* and must be opened by a new process */

/* RC_NONE: no rule for this client. RC_TEMP: no answer now. Everything lives in the arena. */
enum rc instructions_find(struct instructions *i, const struct instruction_client *client,
                          struct arena *a, struct instruction *out, struct why *why) MUST_USE;

/* "0", "*", no address at all ... */
bool instruction_is_for_everybody(const struct instruction *rule);
/* Does it permit any destination? */
bool instruction_relays(const struct instruction *rule);
/* RC_CONFIG: the rule would make this an open relay. */
enum rc instruction_check(const struct instruction *rule, struct why *why) MUST_USE;

/* Do rules ask for the user (ident)? */
bool instructions_want_user(struct instructions *i);

/* "FILE, line N: " in front of the words, as far as it is known. */
void instruction_blame(const struct instruction *rule, struct why *why);

/* Call visit() for each rule, which is gone afterwards; as far as tables can be listed. RC_NONE
 * when one cannot. */
enum rc instructions_each(struct instructions *i,
                          enum rc (*visit)(void *context, const struct instruction *rule,
                                           struct why *why),
                          void *context, struct why *why) MUST_USE;
