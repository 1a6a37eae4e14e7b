/*
 * Programs: what restriction lists are compiled into. A program is an array of steps; a step is a
 * row of restrictions.def with its argument made ready. Programs live as long as struct access, or,
 * when they come from a table result, as long as the message.
 */
#pragma once

#include "access/access.h"
#include "access/rules.h"

struct dispatch;
struct step;

enum argument {
    ARG_NONE,
    ARG_TABLE,       /* type:name, keys are names and addresses of hosts */
    ARG_ADDRESSES,   /* type:name, keys are mail addresses */
    ARG_DOMAIN,      /* DNS list, "zone=127.0.0.[2..4]" */
    ARG_NUMBER,      /* seconds */
    ARG_RULES,       /* path name of a file with check rules */
    ARG_CCERT,       /* type:name, or { type:name, { search_order = ... } } */
    ARG_DISPATCH,    /* path name of a file with match rules */
    ARG_POLICY,      /* policy server, or { server, name = value ... } */
    ARG_RESTRICTION, /* another restriction */
    ARG_CLASS,       /* not in the table: a name from smtpd_restriction_classes */
};

/* Lists where a restriction can have an effect while smtpd_delay_reject is off. */
enum {
    AT_CLIENT = 1 << ACCESS_CLIENT,
    AT_HELO = 1 << ACCESS_HELO,
    AT_SENDER = 1 << ACCESS_SENDER,
    AT_RELAY = 1 << ACCESS_RELAY,
    AT_RCPT = 1 << ACCESS_RECIPIENT,
    AT_DATA = 1 << ACCESS_DATA,
    AT_END = 1 << ACCESS_END_OF_DATA,
    AT_ETRN = 1 << ACCESS_ETRN,
    AT_SENDER_FIRST = 1 << ACCESS_SENDER_FIRST,
    AT_RCPT_FIRST = 1 << ACCESS_RECIPIENT_FIRST,
    AT_ANY = (1 << ACCESS_LISTS) - 1,
    FROM_RCPT = AT_RELAY | AT_RCPT | AT_DATA | AT_END | AT_RCPT_FIRST,
    FROM_SENDER = FROM_RCPT | AT_SENDER | AT_SENDER_FIRST,
    FROM_HELO = AT_ANY & ~AT_CLIENT,
};

struct restriction {
    const char *name;
    unsigned at;
    enum argument argument;
    enum verdict (*run)(struct access_context *c, const struct step *s);
};

enum ccert_key { CCERT_NOTHING, CCERT_FINGERPRINT, CCERT_KEY_FINGERPRINT };

struct step {
    enum verdict (*run)(struct access_context *c, const struct step *s);
    struct str name;        /* as written */
    struct str argument;    /* as written */
    bool warn_only;         /* stood behind warn_if_reject */
    struct table *table;    /* ARG_TABLE */
    struct maps *addresses; /* ARG_ADDRESSES */
    const struct program *program;
    const struct dns_list *dns_list;
    struct rules_file *rules;
    struct dispatch *dispatch;
    const struct policy_call *policy;
    long number;
    unsigned char ccert_order[2]; /* ARG_CCERT: enum ccert_key */
};

struct program {
    const char *parameter; /* or name of the class */
    const struct step *steps;
    size_t n;
};

/* The row of a name, case ignored; NULL when there is none. */
const struct restriction *restriction_find(struct str name);

struct named_maps {
    struct str spec;
    struct maps *maps;
};

/*
 * What access_open() makes. Everything in here is read-only afterwards or locks for itself.
 */
struct access {
    bool is_unrestricted; /* nothing but config and log is set */
    const struct config *config;
    const struct access *base; /* of an overlay: what is borrowed belongs to it */
    const struct log *log;
    struct table_env env;
    struct rewriter *rewriter;
    struct resolver *resolver;
    struct srs *srs; /* NULL: srs_secrets is empty */
    struct arena *arena;
    const struct program *lists[ACCESS_LISTS];
    const struct program *local_rewrite; /* local_header_rewrite_clients */
    const struct program *classes;       /* of smtpd_restriction_classes */
    size_t n_classes;
    VEC(struct table *) tables;       /* those of check_*_access */
    VEC(struct maps *) maps;          /* these and all below */
    VEC(struct named_maps) rule_maps; /* those of check_*_access for addresses */
    VEC(struct rules_file *) rules;
    VEC(struct dispatch *) dispatches;
    struct match_list *mynetworks, *relay_domains, *mx_backup_networks, *permit_actions;
    struct maps *recipient_canonical, *sender_canonical, *canonical, *virtual_alias, *pop_clients,
        *virtual_mailbox, *local_recipients, *relay_recipients, *sender_logins, *relay_clientcerts,
        *rbl_replies, *login_senders;
    const struct rbl_list *rbl_list; /* NULL: smtpd_rbl_list is not set */
    long tld_min, tld_max;           /* smtpd_sender_tld_length */
    bool access_parents;             /* smtpd_access_maps in parent_domain_matches_subdomains */
};

/*
 * Compile the text of a parameter or class. list: where it stands, for bare tables and warnings.
 * tables: may the text name tables? (not in results of a table look-up)
 */
enum rc program_compile(struct access *access, struct arena *arena, const char *parameter,
                        struct str text, enum access_list list, bool tables,
                        const struct program **out, struct why *why) MUST_USE;
