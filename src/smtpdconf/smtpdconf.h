/*
 * smtpd.conf, the configuration file of OpenSMTPD, read into one value: both the grammar of 2011
 * (accept, reject, map) and the current one (action, match, table).
 *
 * Everything lives in the caller's arena. What is wrong with a file stands in conf->messages, each
 * one line as the original prints it; reading goes on to find more. Nothing here knows what the
 * settings are used for.
 */
#pragma once

#include "util/arena.h"

enum conf_grammar { GRAMMAR_AUTO, GRAMMAR_2011, GRAMMAR_CURRENT };

struct conf_place { /* where something stands */
    struct str file;
    int line;
};

enum conf_table_kind {
    TABLE_IS_LIST,    /* { a, b } */
    TABLE_IS_MAP,     /* { a = b, c = d } */
    TABLE_IS_BACKEND, /* type:path, looked up at run time */
};

struct conf_entry {
    struct str key, value; /* value.p == NULL in lists */
};

struct conf_table {
    struct conf_place place;
    struct str name; /* "" for one without a name, written where it is used */
    size_t number;   /* of one without a name: how many there were before */
    enum conf_table_kind kind;
    struct str type, path; /* a backend's; of a file that was read: "file" and its path */
    VEC(struct conf_entry) entries;
};

struct conf_pki {
    struct conf_place place;
    struct str name, cert, key, dhe;
};

struct conf_ca {
    struct conf_place place;
    struct str name, cert;
};

struct conf_listen {
    struct conf_place place;
    struct str interface; /* "" for the socket */
    bool is_socket, inet4, inet6;
    unsigned port; /* 0: the default */
    bool tls, tls_require, tls_verify, smtps;
    bool auth, auth_optional;
    struct conf_table *auth_table, *hostnames, *senders;
    struct str hostname, tag, pki, ca, filter, ciphers, protocols;
    VEC(struct str) other_pkis; /* for clients that ask for their names */
    bool mask_src, no_dsn, proxy_v2, received_auth, masquerade;
};

enum conf_method {
    METHOD_MBOX,
    METHOD_MAILDIR,
    METHOD_LMTP,
    METHOD_MDA,
    METHOD_FORWARD_ONLY,
    METHOD_EXPAND_ONLY,
    METHOD_RELAY
};

struct conf_action {
    struct conf_place place;
    struct str name;
    enum conf_method method;
    bool old_formats; /* %a %u %d instead of %{...} */

    /* local */
    struct str path; /* maildir, lmtp destination, mda command, mbox file of 2011; may be empty */
    bool junk, rcpt_to;
    struct conf_table *alias, *virtual, *userbase;
    struct str user, wrapper;

    /* relay */
    bool backup, srs, tls, tls_no_verify;
    struct str backup_mx, ca, pki, helo, mail_from, filter, ciphers, protocols;
    struct conf_table *helo_src, *domain, *host, *auth, *src;

    long ttl; /* seconds; 0: that of the queue */
};

enum conf_fact {
    FACT_ANY,          /* always true */
    FACT_LOCAL_CLIENT, /* from local */
    FACT_SOCKET,
    FACT_LOCAL_DOMAIN, /* for local */
    FACT_DOMAIN,
    FACT_RECIPIENT,
    FACT_SENDER,
    FACT_CLIENT,
    FACT_CLIENT_NAME, /* rdns; without table: there is one */
    FACT_FCRDNS,
    FACT_AUTH, /* without table: any user */
    FACT_HELO,
    FACT_TAG,
    FACT_TLS,
    FACT_VIRTUAL, /* 2011: the map's keys are domains and addresses */
};

struct conf_condition {
    enum conf_fact fact;
    bool negated, regex;
    struct conf_table *table; /* may be NULL */
};

struct conf_rule {
    struct conf_place place;
    VEC(struct conf_condition) conditions; /* all must hold */
    VEC(struct conf_condition) any_of;     /* 2011: and one of these, when there are any */
    struct conf_action *action;            /* NULL: reject */
};

struct conf_proc {
    struct conf_place place;
    struct str name, command, user, group, chroot;
};

enum conf_decision {
    DECIDE_BYPASS,
    DECIDE_DISCONNECT,
    DECIDE_JUNK,
    DECIDE_REJECT,
    DECIDE_REWRITE,
    DECIDE_REPORT
};

struct conf_filter {
    struct conf_place place;
    struct str name;
    VEC(struct conf_filter *) chain; /* of a chain */
    struct conf_proc *proc;          /* of a process */
    struct str phase;                /* of a built-in one: "connect" ... */
    VEC(struct conf_condition) conditions;
    enum conf_decision decision;
    struct str text; /* of the decision */
};

struct conf_wrapper {
    struct conf_place place;
    struct str name, command;
};

struct conf_limit {
    struct conf_place place;
    struct str of; /* "mta", "scheduler" */
    struct str domain, name;
    long value;
};

struct conf_message {
    bool is_error;
    struct str text; /* "FILE:LINE: TEXT" */
};

enum { CONF_WARN_INTERVALS = 4 };

struct conf_number { /* with the place it was set at; line 0: not set */
    struct conf_place place;
    long value;
};

struct conf_text {
    struct conf_place place;
    struct str value;
};

struct conf {
    enum conf_grammar grammar;
    VEC(struct conf_table *) tables;
    VEC(struct conf_pki *) pkis;
    VEC(struct conf_ca *) cas;
    VEC(struct conf_listen *) listens;
    VEC(struct conf_action *) actions;
    VEC(struct conf_rule *) rules;
    VEC(struct conf_proc *) procs;
    VEC(struct conf_filter *) filters;
    VEC(struct conf_wrapper *) wrappers;
    VEC(struct conf_limit) limits;
    struct conf_names *names; /* of tables and actions */

    struct conf_text hostname, admd, ciphers, sub_addr_delim, srs_key, srs_backup, encryption_key;
    struct conf_number ttl, max_mails, max_rcpt, max_message_size, max_deferred, queue_interval,
        srs_ttl, compression, encryption;
    struct conf_place warn_place;
    long warn_intervals[CONF_WARN_INTERVALS];
    size_t n_warn_intervals;

    VEC(struct conf_message) messages;
    size_t n_errors;
};

struct conf_macro {
    struct str name, value;
};

struct conf_request {
    const char *path;       /* of the file; in messages as it stands */
    const struct str *text; /* instead of reading it */
    enum conf_grammar grammar;
    const struct conf_macro *macros; /* of the command line: stronger than those of the file */
    size_t n_macros;
    const char *program; /* stands before messages that are about no line, "smtpd" */
    bool verbose;        /* warn about macros that nobody uses */
    bool offline;        /* read no other files, ask nothing of the system: for fuzzing */
};

/* RC_CONFIG: conf->messages say why. RC_NONE: the file does not exist; also then. */
enum rc conf_read(const struct conf_request *request, struct arena *a, struct conf *conf) MUST_USE;

struct conf_table *conf_table_find(const struct conf *conf, struct str name);
struct conf_action *conf_action_find(const struct conf *conf, struct str name);
struct conf_pki *conf_pki_find(const struct conf *conf, struct str name);
struct conf_ca *conf_ca_find(const struct conf *conf, struct str name);
struct conf_filter *conf_filter_find(const struct conf *conf, struct str name);
struct conf_wrapper *conf_wrapper_find(const struct conf *conf, struct str name);

/* "smtp+tls://label@host:587", taken apart. RC_PERM: malformed; the words say how. */
enum relay_protocol { RELAY_SMTP, RELAY_TLS, RELAY_NO_TLS, RELAY_SMTPS, RELAY_LMTP };
struct relay_url {
    enum relay_protocol protocol;
    struct str label, host; /* host without brackets */
    unsigned port;
};
enum rc relay_url_parse(struct str text, struct relay_url *out, struct why *why) MUST_USE;
