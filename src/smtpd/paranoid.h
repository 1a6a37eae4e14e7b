/* smtpd_paranoid: false, the client was told to leave. */
#pragma once

#include "smtpd/smtpd.h"

bool paranoid_takes_client(struct session *s);
bool paranoid_takes_text(struct session *s, struct str text, const char *what);
bool paranoid_takes_line(struct session *s, struct str line, bool more);
