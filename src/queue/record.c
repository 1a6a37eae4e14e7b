/* Records: a type byte, the length in groups of 7 bits (least significant first), the payload. */
#include "queue/record.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "queue/pack.h"

size_t record_head(char head[RECORD_HEAD_MAX], int type, size_t length)
{
    size_t n = 0;

    head[n++] = (char)type;
    do {
        head[n++] = (char)((length & 0x7f) | (length > 0x7f ? 0x80 : 0));
        length >>= 7;
    } while (length);
    return n;
}

void record_put(struct buf *b, int type, struct str payload)
{
    char head[RECORD_HEAD_MAX];

    buf_add(b, (struct str){head, record_head(head, type, payload.n)});
    buf_add(b, payload);
}

void record_sizes(struct str payload, long sizes[SIZES])
{
    struct str word;

    memset(sizes, 0, SIZES * sizeof *sizes);
    for (int i = 0; i < SIZES && str_token(&payload, " ", &word); i++)
        (void)str_to_long(word, -1, LONG_MAX / 4, &sizes[i]);
}

/* RC_NONE: more bytes are needed than there are. */
static enum rc take_head(struct str bytes, int *type, size_t *head, size_t *length, struct why *why)
{
    size_t value = 0;

    for (size_t i = 1; i < bytes.n; i++) {
        unsigned char c = (unsigned char)bytes.p[i];
        if (i > 4)
            break;
        value |= (size_t)(c & 0x7f) << (7 * (i - 1));
        if (c & 0x80)
            continue;
        if (value > RECORD_LENGTH_MAX)
            break;
        *type = (unsigned char)bytes.p[0];
        *head = i + 1;
        *length = value;
        return RC_OK;
    }
    if (bytes.n > 4)
        return FAIL(why, RC_PERM, "record length is damaged");
    return RC_NONE;
}

enum rc record_take(struct str *bytes, int *type, struct str *payload, struct why *why)
{
    size_t head, length;
    int got;

    TRY(take_head(*bytes, &got, &head, &length, why));
    if (bytes->n - head < length)
        return RC_NONE;
    *type = got;
    *payload = (struct str){bytes->p + head, length};
    *bytes = str_from(*bytes, head + length);
    return RC_OK;
}

void record_reader_init(struct record_reader *r, int fd, struct arena *a, long offset)
{
    *r = (struct record_reader){
        .fd = fd, .arena = a, .buffer = (char *)"", .file_offset = offset, .offset = offset};
}

void record_reader_unpack(struct record_reader *r, const struct queue_keys *keys)
{
    r->unpacks = true;
    r->keys = keys;
}

static bool is_within_packed(const struct record_reader *r)
{
    return r->unpacker && r->unpacker->rest.n;
}

void record_seek(struct record_reader *r, long offset)
{
    long first = r->file_offset - (long)r->end;

    if (is_within_packed(r))
        r->unpacker->rest = STR_NONE;

    if (offset >= first && offset <= r->file_offset) {
        r->start = (size_t)(offset - first);
    } else {
        r->start = r->end = 0;
        r->file_offset = offset;
    }
}

long record_tell(const struct record_reader *r)
{
    if (is_within_packed(r))
        return r->offset;
    return r->file_offset - (long)(r->end - r->start);
}

static void make_room(struct record_reader *r, size_t want)
{
    size_t kept = r->end - r->start;

    if (want > r->size || (r->end == r->size && r->size < READER_BIG)) {
        size_t size = r->size == 0 ? READER_SMALL : READER_BIG;
        char *bigger = arena_alloc(r->arena, size < want ? want : size);
        if (kept)
            memcpy(bigger, r->buffer + r->start, kept);
        r->buffer = bigger;
        r->size = size < want ? want : size;
    } else if (r->start && kept) {
        memmove(r->buffer, r->buffer + r->start, kept);
    }
    r->start = 0;
    r->end = kept;
}

/* Get more of the file, so that want bytes from start may be there. RC_NONE: the file ends. */
static enum rc fill(struct record_reader *r, size_t want, struct why *why)
{
    ssize_t got;

    make_room(r, want);
    do
        got = pread(r->fd, r->buffer + r->end, r->size - r->end, r->file_offset);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return FAIL(why, RC_TEMP, "read: %m");
    r->end += (size_t)got;
    r->file_offset += got;
    return got ? RC_OK : RC_NONE;
}

static enum rc read_one(struct record_reader *r, int *type, struct str *payload, struct why *why)
{
    size_t head, length;
    enum rc rc;

    for (;;) {
        struct str bytes = {r->buffer + r->start, r->end - r->start};
        int got = 0;
        size_t want = bytes.n + 1;
        r->offset = record_tell(r);
        rc = take_head(bytes, &got, &head, &length, why);
        if (rc == RC_OK && bytes.n - head >= length) {
            *type = got;
            *payload = (struct str){bytes.p + head, length};
            r->start += head + length;
            return RC_OK;
        }
        if (rc == RC_OK)
            want = head + length;
        else if (rc != RC_NONE)
            return rc;
        rc = fill(r, want, why);
        if (rc == RC_NONE && bytes.n)
            return FAIL(why, RC_PERM, "the file ends within a record at %ld", r->offset);
        if (rc != RC_OK)
            return rc;
    }
}

/* Each pointer of a sound file is followed once, so there are no more jumps than fit into it. */
static enum rc may_jump(struct record_reader *r, struct why *why)
{
    struct stat st;

    if (r->jumps_left == 0) {
        if (fstat(r->fd, &st) < 0)
            return FAIL(why, RC_TEMP, "fstat: %m");
        r->jumps_left = st.st_size / POINTER_BYTES + 2;
    }
    if (--r->jumps_left == 0) {
        r->jumps_left = 1;
        return FAIL(why, RC_PERM, "pointer records form a loop at %ld", r->offset);
    }
    return RC_OK;
}

/* Zero is a place kept for later use: reading goes on behind it. */
static enum rc follow_pointer(struct record_reader *r, struct str payload, struct why *why)
{
    long target;

    if (!str_to_long(str_trim(payload), 0, LONG_MAX / 2, &target))
        return FAIL(why, RC_PERM, "damaged pointer record at %ld", r->offset);
    if (target == 0)
        return RC_OK;
    TRY(may_jump(r, why));
    record_seek(r, target);
    return RC_OK;
}

static void forget_seal(void *unpacker)
{
    struct unpacker *u = unpacker;

    explicit_bzero(&u->seal, sizeof u->seal);
}

static enum rc unpack(struct record_reader *r, struct str payload, struct why *why)
{
    if (r->unpacker == NULL) {
        r->unpacker = arena_new_of(r->arena, struct unpacker);
        r->unpacker->keys = r->keys;
        arena_defer(r->arena, forget_seal, r->unpacker);
    }
    return unpacker_open(r->unpacker, payload, why);
}

static enum rc read_next(struct record_reader *r, int *type, struct str *payload, struct why *why)
{
    return is_within_packed(r) ? unpacker_next(r->unpacker, type, payload, why)
                               : read_one(r, type, payload, why);
}

/* After read_next(): a packed record gives way to the first one in it. */
static enum rc look_into(struct record_reader *r, int *type, struct str *payload, struct why *why)
{
    if (!r->unpacks)
        return RC_OK;
    while (*type == REC_PACKED) {
        TRY(unpack(r, *payload, why));
        TRY(read_next(r, type, payload, why));
    }
    return r->unpacker && *type == REC_EXTRACTED ? unpacker_end(r->unpacker, why) : RC_OK;
}

enum rc record_read(struct record_reader *r, bool follow, int *type, struct str *payload,
                    struct why *why)
{
    if (!follow)
        return read_one(r, type, payload, why);
    for (;;) {
        TRY(read_next(r, type, payload, why));
        if (*type == REC_NORM)
            return RC_OK;
        TRY(look_into(r, type, payload, why));
        if (*type == REC_POINTER)
            TRY(follow_pointer(r, *payload, why));
        else if (*type != REC_PAD)
            return RC_OK;
    }
}

enum rc record_read_shown(struct record_reader *r, int *type, struct str *payload, struct why *why)
{
    long offset;

    TRY(read_next(r, type, payload, why));
    TRY(look_into(r, type, payload, why));
    if (*type != REC_POINTER)
        return RC_OK;
    offset = r->offset;
    TRY(follow_pointer(r, *payload, why));
    r->offset = offset;
    return RC_OK;
}

bool record_may_begin_file(int type)
{
    return type && strchr("CTcFILSDRO/WVA>K<ion", type) && type != REC_MESSAGE;
}

const char *record_type_name(int type)
{
    static const struct {
        int type;
        const char *name;
    } names[] = {
        {REC_SIZE, "message_size"},
        {REC_TIME, "message_arrival_time"},
        {REC_CTIME, "queue_file_create_time"},
        {REC_FULL, "sender_fullname"},
        {REC_INSPECT, "content_inspector"},
        {REC_FILTER, "content_filter"},
        {REC_SENDER, "sender"},
        {REC_DONE, "done_recipient"},
        {REC_CANCELLED, "canceled_recipient"},
        {REC_RCPT, "recipient"},
        {REC_ORCPT, "original_recipient"},
        {REC_WARN, "warning_message_time"},
        {REC_ATTR, "named_attribute"},
        {REC_POINTER, "pointer_record"},
        {REC_KILLED, "killed_record"},
        {REC_MESSAGE, "message_content"},
        {REC_NORM, "regular_text"},
        {REC_PAD, "padding"},
        {REC_EXTRACTED, "extracted_info"},
        {REC_RRTO, "return_receipt"},
        {REC_ERTO, "errors_to"},
        {REC_PRIO, "priority"},
        {REC_VERP, "verp_delimiters"},
        {REC_END, "message_end"},
        {REC_REDIRECT, "redirect_to"},
        {REC_FLAGS, "flags"},
        {REC_DELAY, "delay"},
        {REC_DSN_RET, "dsn_return_flags"},
        {REC_DSN_ENVID, "dsn_envelope_id"},
        {REC_DSN_ORCPT, "dsn_original_recipient"},
        {REC_DSN_NOTIFY, "dsn_notify_flags"},
        {REC_MILTER_COUNT, "milter_count"},
        {REC_PACKED, "packed_content"},
    };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].type == type)
            return names[i].name;
    return NULL;
}
