/*
 * Lines of Dovecot's authentication protocol: fields between tabs, a name or "name=value" each. The
 * bytes NUL, tab, CR, LF and 1 are written as 1 and a digit or letter.
 */
#pragma once

#include "util/arena.h"
#include "util/buf.h"

enum dovecot_word { /* the first field */
                    DOVECOT_VERSION,
                    DOVECOT_MECH,
                    DOVECOT_SPID,
                    DOVECOT_CUID,
                    DOVECOT_COOKIE,
                    DOVECOT_DONE,
                    DOVECOT_OK,
                    DOVECOT_FAIL,
                    DOVECOT_CONT,
                    DOVECOT_UNKNOWN, /* to be ignored: newer versions have more */
};

struct dovecot_line {
    enum dovecot_word word;
    unsigned long id; /* OK, FAIL, CONT */
    struct str name;  /* MECH: of the mechanism; CONT: the challenge, base64 */
    unsigned long major, minor;
    unsigned lacks;          /* MECH: enum login_security it must not be used with */
    bool is_private;         /* MECH: not for us */
    struct str user, reason; /* OK, FAIL; p == NULL: not given */
    bool is_temporary;       /* FAIL: its own trouble */
};

/* RC_PERM: no line of the protocol. Texts live in the arena or are views of the line. */
enum rc dovecot_line_parse(struct str line, struct arena *a, struct dovecot_line *out,
                           struct why *why) MUST_USE;

/* "\tname=value", the value escaped. Nothing when it is empty. */
void dovecot_put(struct buf *b, const char *name, struct str value);
