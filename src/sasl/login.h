/*
 * SASL logins (RFC 4422) in SMTP: what server and client side share.
 *
 * Names start with login_, for Cyrus's library owns sasl_ (and <sasl/sasl.h>). A back end is a row
 * of a table of types (server.h, client.h). It is opened once per process, before privileges are
 * dropped, and serves all threads; those that need a library are modules (src/sasl/modules), loaded
 * only by a process that uses them. An exchange belongs to one session and lives in its arena.
 *
 * Texts of an exchange are base64 as they stand in the SMTP line, without "=" for "nothing": an
 * absent initial response has p == NULL, an empty one p != NULL and n == 0. Passwords and responses
 * are never logged, and never part of a reason.
 */
#pragma once

#include "util/arena.h"

#pragma GCC visibility push(default) /* modules call them */

/* Words of *_sasl_security_options: what a mechanism must not, or must, be like. */
enum login_security {
    LOGIN_NOPLAINTEXT = 1 << 0,
    LOGIN_NOACTIVE = 1 << 1,
    LOGIN_NODICTIONARY = 1 << 2,
    LOGIN_NOANONYMOUS = 1 << 3,
    LOGIN_FORWARD_SECRECY = 1 << 4,
    LOGIN_MUTUAL_AUTH = 1 << 5,
};

/* RC_CONFIG: unknown word; parameter is named. */
enum rc login_security_parse(const char *parameter, struct str words, unsigned *security,
                             struct why *why) MUST_USE;

/* For back ends without a list of their own: may this well-known mechanism be used? Unknown ones
 * may not when anything but LOGIN_NOANONYMOUS is asked. */
bool login_mechanism_is_safe(struct str mechanism, unsigned security);

enum login_status {
    LOGIN_OK,
    LOGIN_MORE,      /* send reply.text; the peer answers */
    LOGIN_FAILED,    /* these credentials, or this mechanism, are refused; reply.reason */
    LOGIN_MALFORMED, /* what the peer sent is no base64 or no message of the mechanism */
    LOGIN_TROUBLE,   /* of ours, or of the back end: may work later; reply.reason */
};

struct login_reply {      /* texts live in the arena of the exchange */
    struct str text;      /* LOGIN_MORE: base64, may be empty */
    struct str reason;    /* for the log and the other end; one line */
    struct str detail;    /* server: LOGIN_TROUBLE, more of it for the log alone */
    struct str username;  /* server: who that is (also LOGIN_FAILED, where known) */
    struct str mechanism; /* client: the one in use */
};

/* The reason of LOGIN_TROUBLE by which log watchers know that it is not the client's fault. */
#define LOGIN_SERVER_LOST "Connection lost to authentication server"

/* Base64 without white space (RFC 4648 4). RC_PERM: malformed, or result longer than max. */
struct str login_encode(struct arena *a, struct str bytes);
enum rc login_decode(struct arena *a, struct str text, size_t max, struct str *bytes,
                     struct why *why) MUST_USE;

/* Well-formed, as login_decode() wants it? For those that pass it on. */
bool login_is_base64(struct str text);

/* Equal? In a time that depends on the lengths only. */
bool login_same_secret(struct str a, struct str b);

/* Overwrite; the compiler does not leave it out. */
void login_forget(void *secret, size_t n);

#pragma GCC visibility pop
