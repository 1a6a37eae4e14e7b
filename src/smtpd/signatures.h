/*
 * smtpd_content_signatures: is the first line of a MIME part's body the beginning of something that
 * nobody shall send? A file of prefixes, one a line, "*" for any one character.
 */
#pragma once

#include "util/arena.h"
#include "util/log.h"

struct signatures;
struct signature_scan; /* of one message */

/* RC_CONFIG: cannot be read, or has no signature. */
enum rc signatures_read(struct str path, const struct log *log, struct arena *a,
                        const struct signatures **out, struct why *why) MUST_USE;

struct signature_scan *signature_scan_new(const struct signatures *s, struct arena *a);
void signature_scan_line(struct signature_scan *scan, struct str line, bool more);
bool signature_scan_found(const struct signature_scan *scan); /* NULL: no */
