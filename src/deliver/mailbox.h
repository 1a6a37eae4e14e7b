/*
 * Mailboxes of local(8) and virtual(8): mbox files and maildirs, written with the owner's rights.
 *
 * The process keeps root as real and saved user and runs with the mail system's identity; it
 * becomes the owner only here. These services have one thread, so the identity belongs to the
 * delivery. In a rootless instance nothing changes identity.
 */
#pragma once

#include "deliver/deliver.h"

struct mailbox {
    struct str path; /* file, or directory that ends in '/' */
    uid_t uid;
    gid_t gid;
    bool spool; /* below mail_spool_directory: the directory's mode decides who creates files */
    bool owned; /* an mbox file must belong to uid: strict_mailbox_ownership */
    struct str junk_folder;  /* of a maildir, for mail that says it is junk; empty: none */
    struct str delivered_to; /* for Delivered-To:; empty: none */
    unsigned copy_flags;     /* of deliver_copy() */
    long size_limit;         /* bytes; 0 none */
};

/* One recipient into it; mbox or maildir by the path. outcome: what to report (2, 4 or 5), texts in
 * the arena. */
void mailbox_deliver(struct delivery *d, size_t index, const struct mailbox *m,
                     struct dsn *outcome);

/* Become that user for file access, and back to what the process is normally. RC_TEMP: could not.
 */
enum rc identity_assume(const struct service_env *env, uid_t uid, gid_t gid,
                        struct why *why) MUST_USE;
void identity_restore(const struct service_env *env);
