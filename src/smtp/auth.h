/*
 * Logging in to servers: whose account (accounts.c), the exchange (auth.c), failures that are
 * remembered (auth_cache.c), OAuth 2.0 tokens (token.c).
 */
#pragma once

#include "smtp/nexthop.h"
#include "smtp/session.h"

struct login_client;
struct table;

/* What all deliveries share; NULL in struct smtp without smtp_sasl_auth_enable. */
struct authentication {
    struct login_client *client;
    struct maps *passwords;
    struct match_list *mechanisms;              /* smtp_sasl_mechanism_filter */
    struct table *failures;                     /* smtp_sasl_auth_cache_name; NULL: none */
    unsigned in_clear, with_tls, with_verified; /* enum login_security */
};

struct account {
    struct str username, password;
    bool is_token;
};

enum rc auth_open(struct smtp *s, struct why *why) MUST_USE;
bool auth_has_changed(struct smtp *s);

/* Which sessions may be shared: at->login_key. False: a table failed, that was recorded. */
bool auth_choose(struct attempt *at, const struct nexthop *hop);

/* Log in where there is an account for this server. False: trouble was recorded. */
bool auth_session(struct attempt *at, struct session *s);

/* ---- accounts.c ---- */

/* RC_NONE: none, talk like strangers. */
enum rc account_find(struct attempt *at, struct str host, struct str hop, struct account *out,
                     struct why *why) MUST_USE;
/* The table's answer for the sender alone; RC_NONE also without
 * smtp_sender_dependent_authentication. */
enum rc account_of_sender(struct attempt *at, struct str *value, struct why *why) MUST_USE;

/* ---- token.c ---- */

/* Is this a source of tokens: file:PATH, unix:PATH, inet:HOST:PORT? */
enum rc token_source_check(const char *parameter, struct str source, struct why *why) MUST_USE;
enum rc token_get(struct str source, struct str username, struct str host, struct arena *a,
                  struct str *token, struct why *why) MUST_USE;

/* ---- auth_cache.c ---- */

/* Was this login refused before, and not long ago? */
bool auth_failure_find(struct attempt *at, const struct session *s, const struct account *who,
                       struct dsn *dsn);
void auth_failure_keep(struct attempt *at, const struct session *s, const struct account *who,
                       const struct dsn *dsn, const char *words);
