/*
 * Entries of a table of users: a crypt(3) hash, and behind a blank, perhaps, a SCRAM verifier.
 *
 *     anna    $y$j9T$...  SCRAM-SHA-256$15000:...$...:...
 *
 * A scheme in braces that ends with CRYPT ("{SHA512-CRYPT}$6$...") is skipped. A hash that starts
 * with "!" or "*" locks the user out.
 */
#pragma once

#include "sasl/scram.h"

enum { USER_PASSWORD_MAX = 511, USER_ITERATIONS = 15000 }; /* crypt(3) takes so much */

struct user_entry {
    struct str hash; /* a view; empty: SCRAM only */
    bool has_scram;
    struct scram_verifier scram;
};

/* RC_PERM: malformed. */
enum rc user_entry_parse(struct str text, struct user_entry *out, struct why *why) MUST_USE;

/* A new entry for this password: yescrypt and SCRAM-SHA-256 where this build has OpenSSL. */
enum rc user_entry_make(struct str password, struct arena *a, struct str *text,
                        struct why *why) MUST_USE;

/* RC_OK: it is the password. RC_NONE: it is not, or the entry is locked. RC_CONFIG: nobody can
 * have this hash, crypt(3) does not know it. Takes tens of milliseconds and megabytes, also when
 * e is NULL: for users that do not exist. */
enum rc user_password_check(const struct user_entry *e, struct str password,
                            struct why *why) MUST_USE;
