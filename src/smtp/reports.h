/*
 * What filter programs are told about sessions with servers (smtp_filters): the subsystem smtp-out.
 * All functions do nothing without filters. A program that cannot be told is left alone from then
 * on: mail does not wait for it.
 */
#pragma once

#include "smtp/session.h"

/* Connected; address: of the server. */
void reports_begin(struct session *s, struct str server_name);
void reports_tls(struct session *s);
void reports_greeting(struct session *s, struct str reply);
/* The server has accepted or refused the password. */
void reports_auth(struct session *s, struct str user, bool accepted);
void reports_timeout(struct session *s);
void reports_identify(struct session *s, const char *verb, struct str name);
/* result of a reply code: 2xx and 3xx ok, 5xx permfail, else tempfail */
void reports_mail(struct session *s, struct str sender, int code);
void reports_rcpt(struct session *s, struct str recipient, int code);
void reports_data(struct session *s, int code);
void reports_commit(struct session *s, long bytes, int code);
void reports_flush(struct session *s);
void reports_end(struct session *s);
