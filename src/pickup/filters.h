/*
 * Filters of mail of sendmail(1) (non_smtpd_filters): asked as if there were a session of the
 * client "local". All functions do nothing when there are none.
 */
#pragma once

#include "pickup/pickup.h"

/* Envelope: sender and recipients as filters rewrite them. RC_PERM, RC_TEMP: refused, or a filter
 * cannot be asked; why has the words, and m->refusal the reply of a filter. */
enum rc filters_envelope(struct message *m, struct why *why) MUST_USE;
/* A line of content, on its way to the submission. */
void filters_line(struct message *m, struct str line, bool more);
/* A header of ours, which may be folded. */
void filters_header(struct message *m, struct str header);
/* The content is complete. RC_PERM, RC_TEMP: as above. */
enum rc filters_content(struct message *m, struct why *why) MUST_USE;
/* The session is over. */
void filters_end(struct message *m, bool queued);
