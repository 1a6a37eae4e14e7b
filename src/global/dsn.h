/* Delivery status codes (RFC 3463) and DSN parameters (RFC 3461). */
#pragma once

#include "util/arena.h"

enum { DSN_NOTIFY_NEVER = 1, DSN_NOTIFY_SUCCESS = 2, DSN_NOTIFY_FAILURE = 4, DSN_NOTIFY_DELAY = 8 };
enum { DSN_RET_FULL = 1, DSN_RET_HDRS = 2 };

/* "X.Y.Z" at the start of text? Its length, or 0. */
size_t dsn_prefix(struct str text);
/* Split "X.Y.Z text" into both; without code: status is fallback. Texts are views. */
void dsn_split(struct str text, const char *fallback, struct str *status, struct str *rest);

bool dsn_notify_parse(struct str value, long *notify); /* NEVER or list of SUCCESS,FAILURE,DELAY */
bool dsn_ret_parse(struct str value, long *ret);
struct str xtext_encode(struct arena *a, struct str text); /* RFC 3461 4 */
enum rc xtext_decode(struct arena *a, struct str text, struct str *out, struct why *why) MUST_USE;

/* sysexits code of a command to DSN and text (pipe(8)). NULL when unknown. */
struct exit_status {
    int code;
    const char *dsn;
    const char *text;
};
const struct exit_status *exit_status_find(int code);
