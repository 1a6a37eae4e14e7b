#include "queue/pack.h"

#include <string.h>

#ifdef HAVE_ZLIB
#    include <zlib.h>
#endif

#include "queue/record.h"

enum { SIZE_BYTES = 4 };

/* ---- compression ---- */

#ifdef HAVE_ZLIB

/* RC_NONE: it would not become smaller. */
static enum rc squeeze(struct str plain, char *out, size_t *n)
{
    uLongf size = plain.n - 1 - SIZE_BYTES;

    if (plain.n < 2 + SIZE_BYTES ||
        compress2((Bytef *)out + SIZE_BYTES, &size, (const Bytef *)plain.p, plain.n, 1) != Z_OK)
        return RC_NONE;
    for (int i = 0; i < SIZE_BYTES; i++)
        out[i] = (char)(plain.n >> (8 * i));
    *n = SIZE_BYTES + size;
    return RC_OK;
}

static enum rc expand(struct str body, char *out, size_t max, size_t *n, struct why *why)
{
    size_t wanted = 0;
    uLongf size;

    for (size_t i = 0; i < SIZE_BYTES && i < body.n; i++)
        wanted |= (size_t)(unsigned char)body.p[i] << (8 * i);
    size = wanted;
    body = str_from(body, SIZE_BYTES);
    if (wanted > max || body.n == 0 ||
        uncompress((Bytef *)out, &size, (const Bytef *)body.p, body.n) != Z_OK || size != wanted)
        return FAIL(why, RC_TEMP, "compressed content is damaged");
    *n = size;
    return RC_OK;
}

enum rc pack_is_possible(bool compressed, struct why *why)
{
    (void)compressed, (void)why;
    return RC_OK;
}

#else

static enum rc squeeze(struct str plain, char *out, size_t *n)
{
    (void)plain, (void)out, (void)n;
    return RC_NONE;
}

static enum rc expand(struct str body, char *out, size_t max, size_t *n, struct why *why)
{
    (void)body, (void)out, (void)max, (void)n;
    return FAIL(why, RC_TEMP,
                "the content is compressed (queue_compression), and this build has no zlib; make "
                "one with zlib1g-dev");
}

enum rc pack_is_possible(bool compressed, struct why *why)
{
    return compressed ? FAIL(why, RC_CONFIG,
                             "queue_compression: this build has no zlib; make one with zlib1g-dev")
                      : RC_OK;
}

#endif

/* ---- writing ---- */

enum rc packer_add(struct packer *p, int type, struct str payload)
{
    char head[RECORD_HEAD_MAX];
    size_t n = record_head(head, type, payload.n);

    if (sizeof p->records - p->n < n + payload.n)
        return RC_NONE;
    memcpy(p->records + p->n, head, n);
    if (payload.n)
        memcpy(p->records + p->n + n, payload.p, payload.n);
    p->n += n + payload.n;
    return RC_OK;
}

static enum rc seal_body(struct packer *p, char kind, struct str body, size_t *n, struct why *why)
{
    char *to = p->payload + 1;

    if (!p->is_sealing) {
        TRY(seal_begin(&p->seal, p->keys, to, why));
        p->is_sealing = true;
        to += SEAL_HEAD;
    }
    TRY(seal_close(&p->seal, kind, body, to, why));
    *n = (size_t)(to - p->payload) + body.n + SEAL_TAG;
    return RC_OK;
}

enum rc packer_take(struct packer *p, bool is_last, struct str *payload, struct why *why)
{
    struct str body = {p->records, p->n};
    char kind = (char)((is_last ? PACK_LAST : 0) | (p->keys ? PACK_SEALED : 0));
    size_t n;

    p->n = 0;
    if (p->compresses && squeeze(body, p->body, &n) == RC_OK) {
        kind = (char)(kind | PACK_COMPRESSED);
        body = (struct str){p->body, n};
    }
    p->payload[0] = kind;
    if (p->keys) {
        TRY(seal_body(p, kind, body, &n, why));
    } else {
        memcpy(p->payload + 1, body.p, body.n);
        n = 1 + body.n;
    }
    *payload = (struct str){p->payload, n};
    return RC_OK;
}

/* ---- reading ---- */

static enum rc find_key(struct unpacker *u, struct str *rest, struct why *why)
{
    char head[SEAL_HEAD];
    enum rc rc;

    if (u->keys == NULL)
        return FAIL(why, RC_TEMP,
                    "the content is encrypted, and queue_encryption_key is not set; set it to the "
                    "file with the key that was used, and run: postfix reload");
    if (rest->n < SEAL_HEAD)
        return FAIL(why, RC_TEMP, "encrypted content is damaged");
    memcpy(head, rest->p, SEAL_HEAD);
    *rest = str_from(*rest, SEAL_HEAD);
    rc = seal_resume(&u->seal, u->keys, head, why);
    if (rc == RC_NONE)
        return FAIL(why, RC_TEMP,
                    "the content is encrypted with a key that is not in %s "
                    "(queue_encryption_key); add it there as another line, and run: postfix reload",
                    u->keys->path);
    u->is_sealing = rc == RC_OK;
    return rc == RC_OK ? RC_OK : RC_TEMP;
}

static enum rc unseal(struct unpacker *u, char kind, struct str *body, struct why *why)
{
    if (!u->is_sealing)
        TRY(find_key(u, body, why));
    if (body->n < SEAL_TAG || body->n > sizeof u->body ||
        seal_open(&u->seal, kind, *body, u->body, why) != RC_OK)
        return FAIL(why, RC_TEMP, "encrypted content is damaged");
    *body = (struct str){u->body, body->n - SEAL_TAG};
    return RC_OK;
}

bool record_is_encrypted(struct str payload)
{
    return payload.n && payload.p[0] & PACK_SEALED;
}

enum rc unpacker_open(struct unpacker *u, struct str payload, struct why *why)
{
    char kind = payload.n ? payload.p[0] : '\0';
    struct str body = str_from(payload, 1);
    bool sealed = kind & PACK_SEALED;
    size_t n = body.n;

    if (u->is_over || payload.n == 0 || (u->has_begun && sealed != u->is_sealing))
        return FAIL(why, RC_TEMP, "packed content is not in its place");
    if (sealed)
        TRY(unseal(u, kind, &body, why));
    if (kind & PACK_COMPRESSED) {
        TRY(expand(body, u->records, sizeof u->records, &n, why));
    } else {
        n = body.n;
        if (n > sizeof u->records)
            return FAIL(why, RC_TEMP, "packed content is damaged");
        memcpy(u->records, body.p, n);
    }
    u->rest = (struct str){u->records, n};
    u->has_begun = true;
    u->is_over = kind & PACK_LAST;
    return RC_OK;
}

enum rc unpacker_next(struct unpacker *u, int *type, struct str *payload, struct why *why)
{
    if (u->rest.n == 0)
        return RC_NONE;
    if (record_take(&u->rest, type, payload, NULL) != RC_OK ||
        (*type != REC_NORM && *type != REC_CONT && *type != REC_PAD)) {
        u->rest = STR_NONE;
        u->is_over = false;
        return FAIL(why, RC_TEMP, "packed content is damaged");
    }
    return RC_OK;
}

enum rc unpacker_end(const struct unpacker *u, struct why *why)
{
    if (u->has_begun && !u->is_over)
        return FAIL(why, RC_TEMP, "the end of the packed content is missing");
    return RC_OK;
}
