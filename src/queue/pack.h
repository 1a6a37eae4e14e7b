/*
 * Packed content: runs of content records, compressed and sealed, in one record each (REC_PACKED).
 *
 *   payload   kind, in the first sealed piece SEAL_HEAD bytes, body
 *   kind      bits of enum pack_kind
 *   body      records; compressed: their size in 4 bytes and a zlib stream; then sealed
 *
 * The last piece says so: content that was cut off is never taken for a whole message.
 */
#pragma once

#include "queue/seal.h"

enum pack_kind { PACK_COMPRESSED = 1, PACK_SEALED = 2, PACK_LAST = 4 };

enum {
    PACK_PLAIN_MAX = 60 * 1024, /* records in a piece; a reader's buffer holds what becomes of it */
    PACK_BODY_MAX = PACK_PLAIN_MAX + 1024,
    PACK_PAYLOAD_MAX = PACK_BODY_MAX + 1 + SEAL_HEAD + SEAL_TAG
};

/* ---- writing ---- */
struct packer {
    const struct queue_keys *keys; /* NULL: not sealed */
    bool compresses;
    bool is_sealing; /* the first piece is made */
    struct seal seal;
    size_t n; /* bytes in records[] */
    char records[PACK_PLAIN_MAX], body[PACK_BODY_MAX], payload[PACK_PAYLOAD_MAX];
};

/* RC_NONE: it does not fit any more; take what there is first. payload: PACK_RECORD_MAX at most. */
enum { PACK_RECORD_MAX = 32 * 1024 };
enum rc packer_add(struct packer *p, int type, struct str payload) MUST_USE;
/* What was added becomes the payload of one record; a view until the next call. */
enum rc packer_take(struct packer *p, bool is_last, struct str *payload, struct why *why) MUST_USE;
/* Can this build write that? */
enum rc pack_is_possible(bool compressed, struct why *why) MUST_USE;

/* ---- reading; everything that goes wrong is RC_TEMP: no mail is lost for a key's sake ---- */
struct unpacker {
    const struct queue_keys *keys;
    bool has_begun, is_sealing, is_over;
    struct seal seal;
    struct str rest; /* records not taken yet */
    char records[PACK_BODY_MAX], body[PACK_BODY_MAX];
};

enum rc unpacker_open(struct unpacker *u, struct str payload, struct why *why) MUST_USE;
/* RC_NONE: no more in this piece. */
enum rc unpacker_next(struct unpacker *u, int *type, struct str *payload, struct why *why) MUST_USE;
/* The records behind the content: was all of it there? */
enum rc unpacker_end(const struct unpacker *u, struct why *why) MUST_USE;
