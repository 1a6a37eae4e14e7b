/*
 * Filters of SMTP sessions: definitions (smtpd_filters(5)), conditions that are looked at here, and
 * the lines of OpenSMTPD's filter protocol.
 *
 * A struct filter_set is made once per process and read-only afterwards. Nothing in here talks to
 * anybody: smtpd(8) holds the session, filterd(8) the programs.
 */
#pragma once

#include "util/arena.h"
#include "util/buf.h"
#include "util/log.h"
#include "util/net.h"

enum { FILTER_SESSION_SIZE = 17, FILTER_LINE_MAX = 1024 * 1024 };

#define FILTER_PROTOCOL "0.7"

enum filter_phase { /* names: filter_phase_name() */
                    FILTER_CONNECT,
                    FILTER_HELO,
                    FILTER_EHLO,
                    FILTER_STARTTLS,
                    FILTER_AUTH,
                    FILTER_MAIL_FROM,
                    FILTER_RCPT_TO,
                    FILTER_DATA,
                    FILTER_DATA_LINE,
                    FILTER_RSET,
                    FILTER_QUIT,
                    FILTER_NOOP,
                    FILTER_HELP,
                    FILTER_WIZ,
                    FILTER_COMMIT,
                    FILTER_PHASES
};

enum filter_event { /* names: filter_event_name() */
                    EVENT_LINK_CONNECT,
                    EVENT_LINK_GREETING,
                    EVENT_LINK_IDENTIFY,
                    EVENT_LINK_TLS,
                    EVENT_LINK_AUTH,
                    EVENT_LINK_DISCONNECT,
                    EVENT_TX_RESET,
                    EVENT_TX_BEGIN,
                    EVENT_TX_MAIL,
                    EVENT_TX_RCPT,
                    EVENT_TX_ENVELOPE,
                    EVENT_TX_DATA,
                    EVENT_TX_COMMIT,
                    EVENT_TX_ROLLBACK,
                    EVENT_PROTOCOL_CLIENT,
                    EVENT_PROTOCOL_SERVER,
                    EVENT_FILTER_REPORT,
                    EVENT_FILTER_RESPONSE,
                    EVENT_TIMEOUT,
                    FILTER_EVENTS
};

enum filter_decision { /* names: filter_decision_name() */
                       DECIDE_PROCEED,
                       DECIDE_JUNK,
                       DECIDE_REJECT,
                       DECIDE_DISCONNECT,
                       DECIDE_REWRITE,
                       DECIDE_REPORT,
                       DECIDE_BYPASS, /* conditions only: the following filters are not asked */
                       FILTER_DECISIONS
};

const char *filter_phase_name(enum filter_phase p);
const char *filter_event_name(enum filter_event e);
const char *filter_decision_name(enum filter_decision d);

/* ---- definitions ---- */
struct filter_values; /* of a table; see values.c */

enum filter_fact {
    FACT_FCRDNS,
    FACT_RDNS,
    FACT_SRC,
    FACT_HELO,
    FACT_AUTH,
    FACT_MAIL_FROM,
    FACT_RCPT_TO
};

struct filter_condition {
    enum filter_fact fact;
    bool negated;
    struct filter_values *values; /* NULL: only whether there is such a thing */
};

struct filter {
    struct str name;
    bool is_program;
    struct str service; /* programs: socket private/SERVICE */
    enum filter_phase phase;
    struct filter_condition *conditions;
    size_t n_conditions;
    enum filter_decision decision;
    struct str text; /* of the decision */
};

struct filter_set { /* as smtpd_filters lists them, chains taken apart */
    const struct filter **list;
    size_t n;
};

/* names: smtpd_filters. path: smtpd_filter_definitions. RC_CONFIG with file and line. */
enum rc filter_set_load(const char *path, struct str names, const struct log *log, struct arena *a,
                        struct filter_set *out, struct why *why) MUST_USE;
/* The same from text; path is for messages. */
enum rc filter_set_parse(struct str text, const char *path, struct str names, struct arena *a,
                         struct filter_set *out, struct why *why) MUST_USE;

/* ---- conditions ---- */
struct filter_facts { /* what is known so far; p == NULL: not known */
    bool fcrdns;
    struct str rdns; /* empty: none */
    const struct addr *address;
    struct str helo, user, mail_from, rcpt_to;
};
bool filter_matches(const struct filter *f, const struct filter_facts *facts);

enum filter_kind { KIND_DOMAIN, KIND_NETWORK, KIND_STRING, KIND_MAIL };
/* "{ a, b }", or the path of a file. RC_CONFIG: malformed value, no such file. */
enum rc filter_values_parse(struct str table, enum filter_kind kind, bool is_regex, struct arena *a,
                            struct filter_values **out, struct why *why) MUST_USE;
bool filter_values_have(const struct filter_values *v, struct str text, const struct addr *address);

/* ---- protocol ---- */
enum filter_word {
    WORD_REGISTER_REPORT,
    WORD_REGISTER_FILTER,
    WORD_READY,
    WORD_RESULT,
    WORD_DATALINE
};

struct filter_line { /* what a program has said; views of the line */
    enum filter_word word;
    bool is_out;      /* registered: for smtp-out, mail that leaves; else for smtp-in */
    struct str event; /* registered; "*" for all reports */
    struct str session, token;
    enum filter_decision decision;
    struct str parameter; /* of the decision; the line of a message */
};

/* RC_PERM: no line of the protocol. line: without newline. */
enum rc filter_line_parse(struct str line, struct filter_line *out, struct why *why) MUST_USE;

/* What a program has registered for. */
struct filter_interest {
    bool events[FILTER_EVENTS], phases[FILTER_PHASES];
    bool out_events[FILTER_EVENTS];
};
/* RC_PERM: there is no such event or phase. */
enum rc filter_interest_add(struct filter_interest *i, const struct filter_line *line,
                            struct why *why) MUST_USE;

/*
 * "report|0.7|TIME|smtp-in|EVENT|SESSION" (or smtp-out) and
 * "filter|0.7|TIME|smtp-in|PHASE|SESSION|TOKEN". filter_add() appends "|" and a field, in which "|"
 * and control bytes become "?"; filter_end() the last field, which may have "|", and the newline.
 */
void filter_begin_event(struct buf *b, enum filter_event e, bool is_out, const char *session);
void filter_begin_request(struct buf *b, enum filter_phase p, const char *session,
                          const char *token);
void filter_add(struct buf *b, struct str field);
void filter_end(struct buf *b, struct str last); /* p == NULL: no further field */
