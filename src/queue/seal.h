/*
 * The pieces of one content under a key of its own: AES-256-GCM with a key that HKDF-SHA256 makes
 * of one of the administrator's keys and 16 random bytes. The pieces are numbered, and the number
 * is the nonce: none is used twice under one key, and a piece is good in its place only.
 */
#pragma once

#include "queue/queue.h"

enum {
    QUEUE_KEYS_MAX = 64,
    QUEUE_KEY_BYTES = 32,
    SEAL_SALT = 16,
    SEAL_CHECK = 8, /* tells which of the keys it was */
    SEAL_HEAD = SEAL_SALT + SEAL_CHECK,
    SEAL_TAG = 16
};

struct queue_key {
    unsigned char bytes[QUEUE_KEY_BYTES];
    size_t n;
};

struct queue_keys { /* read-only */
    char *path;     /* for messages */
    struct queue_key keys[QUEUE_KEYS_MAX];
    size_t n;
    bool is_off; /* for old files only */
};

struct seal {
    unsigned char key[QUEUE_KEY_BYTES];
    unsigned long count; /* pieces so far */
};

/* Does all of this work? Also makes OpenSSL load what a chroot jail does not have. */
enum rc seal_try(const struct queue_keys *keys, struct why *why) MUST_USE;
/* A new content; head must be stored with its first piece. */
enum rc seal_begin(struct seal *s, const struct queue_keys *keys, char head[SEAL_HEAD],
                   struct why *why) MUST_USE;
/* RC_NONE: it was none of these keys. */
enum rc seal_resume(struct seal *s, const struct queue_keys *keys, const char head[SEAL_HEAD],
                    struct why *why) MUST_USE;
/* The next piece; kind is not hidden, but must be the same for opening. out: plain.n + SEAL_TAG
 * bytes. */
enum rc seal_close(struct seal *s, char kind, struct str plain, char *out,
                   struct why *why) MUST_USE;
/* out: sealed.n - SEAL_TAG bytes. RC_PERM: not what was sealed. */
enum rc seal_open(struct seal *s, char kind, struct str sealed, char *out,
                  struct why *why) MUST_USE;
