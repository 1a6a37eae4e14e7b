/*
 * The mechanisms that need no library of others. One row each; the state of an exchange lives in
 * the arena of the session.
 */
#pragma once

#include "sasl/client.h"

enum { LOGIN_CHALLENGE_MAX = 12288 };

struct exchange {
    const struct mechanism *mechanism;
    struct arena *arena;
    struct login_account account;
    int step; /* challenges that were answered */
    struct scram_client *scram;
};

struct mechanism {
    const char *name;
    bool for_token, binds;
    /* The initial response; text.p stays NULL when the server speaks first. */
    enum login_status (*begin)(struct exchange *e, struct login_reply *reply);
    /* challenge: decoded. */
    enum login_status (*step)(struct exchange *e, struct str challenge, struct login_reply *reply);
};

/* SCRAM-SHA-256 and its PLUS (RFC 5802, RFC 7677), in client_scram.c */
bool scram_client_can_bind(const struct login_account *account, struct arena *a);
enum login_status scram_client_begin(struct exchange *e, struct login_reply *reply);
enum login_status scram_client_step(struct exchange *e, struct str challenge,
                                    struct login_reply *reply);
