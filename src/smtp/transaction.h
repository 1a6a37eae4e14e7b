/* One message over one session: MAIL, RCPT, DATA, content, for the recipients that are open. */
#pragma once

#include "smtp/session.h"

/*
 * What can be settled is settled, other trouble is remembered in the attempt; session->broken tells
 * whether the session can go on. RC_NONE: a kept session turned out to be closed before anything
 * was said; nothing was recorded. RC_OK otherwise.
 */
enum rc transaction_run(struct attempt *at, struct session *s);

/* Send the content as DATA wants it, without the final dot (content.c). RC_TEMP, RC_PERM: the queue
 * file cannot be read, or the message cannot be converted; then the words may start with a status
 * code. */
enum rc content_send(struct attempt *at, struct session *s, struct why *why) MUST_USE;

/* The lines of commands that carry the envelope (envelope.c). In the arena of the request. */
struct str mail_command(struct attempt *at, const struct session *s);
struct str rcpt_command(struct attempt *at, const struct session *s, size_t recipient);
/* Empty when there is nothing to say, or the server does not want it. */
struct str xforward_commands(struct attempt *at, const struct session *s, int *n);
