/*
 * Spool files of Obtuse smtpd, which smtpfwdd(8) forwards.
 *
 *     FROM <sender>
 *     RCPT <recipient>       one or more; SENT when forwarded, FAIL when that was refused for good
 *     BODY
 *     message with LF line ends
 *
 * Names begin with "smtpd". A file is complete when the bits 0110 of its mode are set, and 0755
 * when it was tried before. The bits are set after the contents are synced, so a crash leaves a
 * file that is complete, or one that nobody takes for a message.
 */
#pragma once

#include <sys/stat.h>

#include "util/arena.h"

#define SPOOL_PREFIX         "smtpd"
#define SPOOL_CORRUPT_PREFIX "corrupt."
#define SPOOL_FAILED_PREFIX  "failed."

enum {
    SPOOL_COMPLETE = 0110,
    SPOOL_MODE_COMPLETE = 0750,
    SPOOL_MODE_TRIED = 0755,
    SPOOL_LINE_MAX = 4096, /* of the envelope */
    SPOOL_RECIPIENTS_MAX = 100000,
};

/* Must be a directory for nobody but its owner, who is uid. RC_CONFIG: words name path and mode. */
enum rc spool_directory_check(const char *path, uid_t uid, struct why *why) MUST_USE;

/* ---- writing ---- */

struct spool_writer;

/* sender: internal form. The file is removed with the arena unless it was committed. */
enum rc spool_create(const char *directory, struct str sender, struct arena *a,
                     struct spool_writer **out, struct why *why) MUST_USE;
const char *spool_name(const struct spool_writer *w); /* "smtpdAbC123" */

/* Trouble is kept, and told by spool_commit(). */
void spool_recipient(struct spool_writer *w, struct str recipient); /* before the first content */
void spool_content(struct spool_writer *w, struct str bytes);

/* Synced and complete when this returns RC_OK. */
enum rc spool_commit(struct spool_writer *w, struct why *why) MUST_USE;

/* ---- reading ---- */

enum spool_state { SPOOL_RCPT, SPOOL_SENT, SPOOL_FAIL };

struct spool_recipient {
    struct str address; /* without angle brackets */
    enum spool_state state;
    off_t at; /* of the line in the file */
};

struct spool_message {
    struct str sender; /* without angle brackets; empty: null sender */
    VEC(struct spool_recipient) recipients;
    off_t body;
};

/* The envelope. RC_PERM: it is no spool file; words say why. */
enum rc spool_parse(struct str text, struct arena *a, struct spool_message *m,
                    struct why *why) MUST_USE;
/* The same of an open file. */
enum rc spool_read(int fd, struct arena *a, struct spool_message *m, struct why *why) MUST_USE;

/* Overwrite the word in front of the recipient. */
enum rc spool_mark(int fd, struct spool_recipient *r, enum spool_state state,
                   struct why *why) MUST_USE;
