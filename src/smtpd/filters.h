/*
 * Filters of a session (smtpd_filters(5)): where smtpd asks and tells them.
 *
 * All functions do nothing when the service has no filters. A filter that cannot be asked ends the
 * session with 421: mail never goes past it.
 */
#pragma once

#include "smtpd/smtpd.h"

/* Once per process. */
enum rc filters_load(struct smtpd *smtpd, struct why *why) MUST_USE;

/* Before the greeting. False: answered. */
bool filters_connect(struct session *s);
void filters_greeted(struct session *s);
void filters_disconnect(struct session *s); /* the session is over */

/* Before a command runs: false when a filter has refused it and the client was told. *arguments: as
 * filters have rewritten them; valid until the next command. c == NULL: an unknown command. */
bool filters_command(struct session *s, const struct command *c, struct str *arguments);
/* After it; done: it was accepted. */
void filters_told(struct session *s, const struct command *c, struct str arguments, bool done);
void filters_client_says(struct session *s, struct str line);
void filters_server_says(struct session *s, struct str reply);

/* DATA, or the first BDAT. False: *reply is the answer. */
bool filters_data(struct session *s, struct str *reply);
void filters_content_begins(struct session *s); /* after 354: headers of ours, report */
/* A header of ours, in front of the content; false: no filter wants to see it. */
bool filters_take_header(struct session *s, struct str header);
void filters_line(struct session *s, struct str line, bool more);
/* The content is complete: it goes through the filters into the message. False: *reply is the
 * answer. */
bool filters_content_ends(struct session *s, struct str *reply);
void filters_message(struct session *s, bool queued);
