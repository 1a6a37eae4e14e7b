/* The way of messages into an Obtuse spool directory (smtpd_spool_directory). */
#pragma once

#include "smtpd/smtpd.h"

bool spool_message_open(struct session *s); /* false: answered */
void spool_message_recipient(struct session *s, const struct recipient *r);
void spool_message_header(struct session *s, struct str lines); /* before the first line */
void spool_message_line(struct session *s, struct str line, bool more);
unsigned spool_message_status(const struct session *s);
long spool_message_size(const struct session *s);
unsigned spool_message_finish(struct session *s);
