/*
 * Instruction files of ipsvd(7): one file for an address, an address prefix or a host name; "0" for
 * everybody else. Its owner's permission bits say what it is: a refusal (neither r nor x), a script
 * to run instead (x), or lines of instructions (r).
 */
#pragma once

#include "table/client_rules.h"

enum ipsvd_kind { IPSVD_DENY = 'D', IPSVD_INSTRUCT = 'I', IPSVD_RUN = 'X' };

/* As the permission bits say. */
enum ipsvd_kind ipsvd_kind_of(unsigned mode);

/* Files that are no instructions: "..", "..x", "x~". */
bool ipsvd_skips(struct str name);

/* Line with the option -t of tcpsvd(8), by which files expire, in the run script beside an instruct
 * directory; 0: none. */
long ipsvd_expiry_line(const char *directory);

/* Check every line. RC_CONFIG: "line N: ...". Unknown upper-case variables are told to the log. */
enum rc ipsvd_check(struct str text, const char *path, const struct log *log,
                    struct why *why) MUST_USE;

/*
 * What the lines say about this client. RC_TEMP: a host name could not be looked up. forward: file
 * to go on with (=HOST:FILE), or empty; its own "=" lines do not count (with_hosts false).
 */
enum rc ipsvd_apply(struct str text, const struct client_query *q, bool with_hosts, struct arena *a,
                    struct client_rule *rule, struct str *forward, struct why *why) MUST_USE;

/* Names of files to try, in order. */
size_t ipsvd_names(const struct client_query *q, struct arena *a, struct str **names);
