/*
 * The client's side of SASL logins.
 *
 *   start:    login_client_open()                              once, with the rights master gave
 *   server:   login_client_begin() with what it offers in EHLO, login_client_step() for each 334,
 *             login_client_end()
 *
 * Nothing here reads from the network: challenges come from the caller.
 */
#pragma once

#include "sasl/login.h"
#include "util/log.h"

struct config;
struct login_client;
struct login_attempt;

struct login_client_options {
    const struct config *config;
    const struct log *log;
    struct str type; /* smtp_sasl_type: "cyrus", "builtin" */
    struct str path; /* smtp_sasl_path */
};

/* One login at one server; texts live as long as the attempt. */
struct login_account {
    struct str service; /* "smtp", "lmtp" */
    struct str server;  /* its name */
    struct str username, password;
    bool is_token; /* password is an OAuth 2.0 bearer token: OAUTHBEARER or XOAUTH2, by ourselves
                      whatever the type is */
    struct str mechanisms; /* what the server offers, already filtered; separated by blanks */
    unsigned security;     /* enum login_security that holds for this connection */
    bool send_authzid;     /* send_cyrus_sasl_authzid */
    unsigned port;         /* of the server, for OAUTHBEARER; 0: unknown */
    /* Channel binding of the TLS session: RC_NONE: not of this type. NULL: none at all. */
    enum rc (*channel)(const void *session, const char *type, struct arena *a, struct str *data);
    const void *channel_session;
};

enum rc login_client_open(const struct login_client_options *o, struct login_client **out,
                          struct why *why) MUST_USE;

/* All names, for postconf -A. NULL ends it. */
const char *const *login_client_types(void);

/*
 * Choose a mechanism. LOGIN_MORE: send "AUTH reply.mechanism", with reply.text as initial response
 * unless its p is NULL. LOGIN_FAILED: no mechanism fits, reply.reason says why.
 */
enum login_status login_client_begin(struct login_client *c, const struct login_account *account,
                                     struct arena *a, struct login_attempt **attempt,
                                     struct login_reply *reply);

/* challenge: what stood behind "334 ". LOGIN_OK: also done on our side, reply.text is to be sent
 * (p == NULL: nothing). */
enum login_status login_client_step(struct login_attempt *t, struct str challenge,
                                    struct login_reply *reply);
void login_client_end(struct login_attempt *t); /* NULL is fine */

/* Where does a mechanism of the list that is wanted stand? False: it is not there. */
bool login_offers(struct str mechanisms, const char *name);

/* ---- back ends ---- */

struct login_client_type {
    const char *name;
    enum rc (*open)(const struct login_client_options *o, void **state, struct why *why);
    enum login_status (*begin)(void *state, const struct login_account *account, struct arena *a,
                               void **attempt, struct login_reply *reply);
    enum login_status (*step)(void *attempt, struct str challenge, struct login_reply *reply);
    void (*end)(void *attempt);
};

extern const struct login_client_type login_client_builtin;
