/*
 * The server's side of SASL logins.
 *
 *   start:    login_server_open()                              once, with the rights master gave
 *   EHLO:     login_server_mechanisms()
 *   AUTH:     login_server_begin(), login_server_step() until the status is not LOGIN_MORE
 *   at last:  login_server_end()                               also in the middle of an exchange
 *
 * Everything blocks for at most the time-outs given; nothing needs a lock of the caller.
 */
#pragma once

#include "sasl/login.h"
#include "util/log.h"

struct config;
struct login_server;
struct login_exchange;

struct login_server_options {
    const struct config *config;
    const struct log *log;
    struct str type;    /* smtpd_sasl_type: "cyrus", "dovecot", "file" */
    struct str path;    /* smtpd_sasl_path: its meaning is the back end's */
    struct str service; /* smtpd_sasl_service */
    struct str realm;   /* smtpd_sasl_local_domain */
    long timeout_ms;    /* for each answer of an authentication server; 0: the default */
};

/* What a back end may know about the connection. Lives as long as the exchange. */
struct login_peer {
    struct str client_address, client_port, client_name;
    struct str server_address, server_port;
    struct str helo;
    bool is_encrypted;                            /* TLS is active */
    struct str tls_protocol, tls_cipher, tls_sni; /* with TLS; else empty */
    long tls_bits;                                /* strength of the cipher */
    struct str certificate; /* name in a verified client certificate; p == NULL: none */
    unsigned security;      /* enum login_security that holds for this connection */
    /* Channel binding of the TLS session: RC_NONE: not of this type. NULL: none at all. */
    enum rc (*channel)(const void *session, const char *type, struct arena *a, struct str *data);
    const void *channel_session;
};

/* RC_CONFIG: unknown type, missing module, table or socket that can never work. RC_TEMP is for
 * the caller to decide: with a server that is down logins fail until it is up. */
enum rc login_server_open(const struct login_server_options *o, struct login_server **out,
                          struct why *why) MUST_USE;
void login_server_close(struct login_server *s);       /* NULL is fine */
bool login_server_has_changed(struct login_server *s); /* a table was replaced */

/* At the end of start(): connections that were made with rights the process is about to give up
 * are closed, so that what works at first works later, too. */
void login_server_started(struct login_server *s);

/* What can be offered to this peer, separated by blanks, in the order of the back end. RC_NONE:
 * nothing; RC_TEMP: the authentication server does not answer. */
enum rc login_server_mechanisms(struct login_server *s, const struct login_peer *peer,
                                struct arena *a, struct str *list, struct why *why) MUST_USE;

/* mechanism: in capitals, one that was offered. initial: see login.h. */
enum login_status login_server_begin(struct login_server *s, const struct login_peer *peer,
                                     struct arena *a, struct str mechanism, struct str initial,
                                     struct login_exchange **exchange, struct login_reply *reply);
enum login_status login_server_step(struct login_exchange *x, struct str response,
                                    struct login_reply *reply);
void login_server_end(struct login_exchange *x); /* NULL is fine */

/* ---- back ends ---- */

struct login_server_type {
    const char *name;
    enum rc (*open)(const struct login_server_options *o, void **state, struct why *why);
    void (*close)(void *state);
    bool (*has_changed)(void *state); /* may be NULL */
    void (*started)(void *state);     /* may be NULL */
    /* Those that peer->security allows. */
    enum rc (*mechanisms)(void *state, const struct login_peer *peer, struct arena *a,
                          struct str *list, struct why *why);
    /* *exchange: passed to step() and end(); end() is called when it is not NULL. */
    enum login_status (*begin)(void *state, const struct login_peer *peer, struct arena *a,
                               struct str mechanism, struct str initial, void **exchange,
                               struct login_reply *reply);
    enum login_status (*step)(void *exchange, struct str response, struct login_reply *reply);
    void (*end)(void *exchange);
};
