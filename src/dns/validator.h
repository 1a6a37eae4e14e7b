/*
 * DNSSEC validation of our own, by libunbound, for machines whose name server is another one: its
 * AD bit could be forged on the way. The name servers only forward; they must pass DNSSEC records.
 *
 * The library is opened when it is needed. It works in a thread of its own, another one hands its
 * answers to the threads that wait; both start with the first question, when the process is
 * confined.
 */
#pragma once

#include "dns/transport.h"

struct validator;

/* anchors: file with DS or DNSKEY records, one a line. RC_CONFIG: no library, no anchors; words
 * hold the remedy. Reads files: in start(). */
enum rc validator_open(const char *anchors, const struct name_servers *servers,
                       struct validator **out, struct why *why) MUST_USE;
void validator_free(struct validator *v); /* NULL is fine; nobody may wait in it */

/* bytes: the reply, with AD when it is authenticated. RC_PERM: bogus. RC_TEMP: no answer. */
enum rc validator_ask(struct validator *v, struct str name, int type, long timeout_ms,
                      struct arena *a, struct str *bytes, struct why *why) MUST_USE;
