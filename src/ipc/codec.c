/* The one encoder, decoder and printer, driven by tables that messages.def makes. */
#include <endian.h>
#include <stdint.h>

#include "ipc/ipc.h"

enum field_kind { LAST, TEXT, NUMBER, FLAG, ONE_RECORD, MANY_RECORDS };

struct field {
    enum field_kind kind;
    const char *name;
    size_t offset, count_offset, limit;
    const struct field *(*record)(void); /* its fields */
    size_t record_bytes;
};

/* A function for each struct, so that a local typedef can tell FIELD which struct it is in. */
#define RECORD(record)                                                                             \
    static const struct field *fields_of_##record(void)                                            \
    {                                                                                              \
        typedef struct record current;                                                             \
        static const struct field fields[] = {
#define MESSAGE(message) RECORD(message)
#define FIELD(type, x, most)                                                                       \
    {.kind = type, .name = #x, .offset = offsetof(current, x), .limit = most},
#define RECORD_FIELD(r, x)                                                                         \
    {.kind = ONE_RECORD, .name = #x, .offset = offsetof(current, x), .record = fields_of_##r},
#define LIST(r, x, most)                                                                           \
    {.kind = MANY_RECORDS,                                                                         \
     .name = #x,                                                                                   \
     .offset = offsetof(current, x),                                                               \
     .count_offset = offsetof(current, n_##x),                                                     \
     .limit = most,                                                                                \
     .record = fields_of_##r,                                                                      \
     .record_bytes = sizeof(struct r)},
#define END(name)                                                                                  \
    {                                                                                              \
        .kind = LAST                                                                               \
    }                                                                                              \
    }                                                                                              \
    ;                                                                                              \
    return fields;                                                                                 \
    }
#include "ipc/messages.def"
#undef RECORD
#undef MESSAGE
#undef FIELD
#undef RECORD_FIELD
#undef LIST
#undef END

static const struct {
    const char *name;
    const struct field *(*fields)(void);
    size_t bytes;
} messages[IPC_TYPES] = {
#define RECORD(name)
#define MESSAGE(n) [IPC_##n] = {#n, fields_of_##n, sizeof(struct n)},
#define FIELD(type, name, limit)
#define RECORD_FIELD(record, name)
#define LIST(record, name, limit)
#define END(name)
#include "ipc/messages.def"
};

const char *ipc_name(enum ipc_type type)
{
    return type > IPC_NONE && type < IPC_TYPES ? messages[type].name : "?";
}

size_t ipc_size(enum ipc_type type)
{
    return messages[type].bytes;
}

static void put32(struct buf *b, size_t value)
{
    uint32_t le = htole32((uint32_t)value);

    buf_add(b, (struct str){(const char *)&le, sizeof le});
}

static enum rc put_fields(struct buf *b, const struct field *f, const char *base, struct why *why)
{
    for (; f->kind != LAST; f++) {
        const char *at = base + f->offset;
        struct str text;
        uint64_t number;
        size_t count;
        switch (f->kind) {
        case TEXT:
            text = *(const struct str *)at;
            if (text.n > f->limit)
                return FAIL(why, RC_PERM, "%s is longer than %zu bytes", f->name, f->limit);
            put32(b, text.n);
            buf_add(b, text);
            break;
        case NUMBER:
            number = htole64((uint64_t) * (const long *)at);
            buf_add(b, (struct str){(const char *)&number, sizeof number});
            break;
        case FLAG: buf_addc(b, *(const bool *)at ? 1 : 0); break;
        case ONE_RECORD: TRY(put_fields(b, f->record(), at, why)); break;
        case MANY_RECORDS:
            count = *(const size_t *)(base + f->count_offset);
            if (count > f->limit)
                return FAIL(why, RC_PERM, "more than %zu %s", f->limit, f->name);
            put32(b, count);
            for (size_t i = 0; i < count; i++)
                TRY(put_fields(b, f->record(), *(const char *const *)at + i * f->record_bytes,
                               why));
            break;
        case LAST: break;
        }
    }
    return RC_OK;
}

enum rc ipc_encode(struct buf *b, enum ipc_type type, const void *message, struct why *why)
{
    size_t start = b->n;
    char head[8] = {(char)IPC_MAGIC, (char)type};
    uint32_t length;

    buf_add(b, (struct str){head, sizeof head});
    TRY(put_fields(b, messages[type].fields(), message, why));
    if (b->over)
        return FAIL(why, RC_PERM, "message %s is longer than %zu bytes", ipc_name(type), b->max);
    length = htole32((uint32_t)(b->n - start - sizeof head));
    memcpy(b->p + start + 4, &length, sizeof length);
    return RC_OK;
}

static enum rc take(struct str *rest, size_t n, struct str *piece, struct why *why)
{
    if (rest->n < n)
        return FAIL(why, RC_PERM, "malformed message: too short");
    *piece = str_head(*rest, n);
    *rest = str_from(*rest, n);
    return RC_OK;
}

static enum rc take32(struct str *rest, size_t limit, size_t *value, struct why *why)
{
    struct str piece;
    uint32_t le;

    TRY(take(rest, sizeof le, &piece, why));
    memcpy(&le, piece.p, sizeof le);
    if (le32toh(le) > limit)
        return FAIL(why, RC_PERM, "malformed message: length beyond the limit %zu", limit);
    *value = le32toh(le);
    return RC_OK;
}

static enum rc get_fields(struct str *rest, const struct field *f, struct arena *a, char *base,
                          struct why *why);

static enum rc get_list(struct str *rest, const struct field *f, struct arena *a, char *base,
                        struct why *why)
{
    size_t count;
    char *records;

    TRY(take32(rest, f->limit, &count, why));
    if (count >
        rest->n) /* a record takes a byte at least: do not allocate for what cannot be there */
        return FAIL(why, RC_PERM, "malformed message: %s", f->name);
    records = arena_alloc(a, count * f->record_bytes);
    for (size_t i = 0; i < count; i++)
        TRY(get_fields(rest, f->record(), a, records + i * f->record_bytes, why));
    *(char **)(base + f->offset) = records;
    *(size_t *)(base + f->count_offset) = count;
    return RC_OK;
}

static enum rc get_fields(struct str *rest, const struct field *f, struct arena *a, char *base,
                          struct why *why)
{
    for (; f->kind != LAST; f++) {
        char *at = base + f->offset;
        struct str piece;
        uint64_t number;
        size_t n;
        switch (f->kind) {
        case TEXT:
            TRY(take32(rest, f->limit, &n, why));
            TRY(take(rest, n, &piece, why));
            *(struct str *)at = arena_copy(a, piece);
            break;
        case NUMBER:
            TRY(take(rest, sizeof number, &piece, why));
            memcpy(&number, piece.p, sizeof number);
            *(long *)at = (long)le64toh(number);
            break;
        case FLAG:
            TRY(take(rest, 1, &piece, why));
            if (piece.p[0] & ~1)
                return FAIL(why, RC_PERM, "malformed message: %s", f->name);
            *(bool *)at = piece.p[0];
            break;
        case ONE_RECORD: TRY(get_fields(rest, f->record(), a, at, why)); break;
        case MANY_RECORDS: TRY(get_list(rest, f, a, base, why)); break;
        case LAST: break;
        }
    }
    return RC_OK;
}

enum rc ipc_decode(struct str frame, enum ipc_type type, struct arena *a, void *message,
                   struct why *why)
{
    struct str head, rest = frame;
    char *copy = arena_alloc(a, ipc_size(type)); /* message stays untouched on failure */
    uint32_t length;

    TRY(take(&rest, 8, &head, why));
    memcpy(&length, head.p + 4, sizeof length);
    if ((unsigned char)head.p[0] != IPC_MAGIC || (unsigned char)head.p[1] != type || head.p[2] ||
        head.p[3] || le32toh(length) != rest.n)
        return FAIL(why, RC_PERM, "malformed message: bad head");
    TRY(get_fields(&rest, messages[type].fields(), a, copy, why));
    if (rest.n)
        return FAIL(why, RC_PERM, "malformed message: %zu bytes too many", rest.n);
    memcpy(message, copy, ipc_size(type));
    return RC_OK;
}

static void print_fields(struct buf *b, const struct field *f, const char *base)
{
    for (const char *comma = ""; f->kind != LAST; f++, comma = " ") {
        const char *at = base + f->offset;
        buf_addf(b, "%s%s=", comma, f->name);
        switch (f->kind) {
        case TEXT: buf_addf(b, "\"" STR_FMT "\"", STR_ARG(*(const struct str *)at)); break;
        case NUMBER: buf_addf(b, "%ld", *(const long *)at); break;
        case FLAG: buf_add(b, *(const bool *)at ? STR("yes") : STR("no")); break;
        case ONE_RECORD:
            buf_addc(b, '{');
            print_fields(b, f->record(), at);
            buf_addc(b, '}');
            break;
        case MANY_RECORDS:
            for (size_t i = 0; i < *(const size_t *)(base + f->count_offset); i++) {
                buf_addc(b, '{');
                print_fields(b, f->record(), *(const char *const *)at + i * f->record_bytes);
                buf_addc(b, '}');
            }
            break;
        case LAST: break;
        }
    }
}

void ipc_print(struct buf *b, enum ipc_type type, const void *message)
{
    buf_addf(b, "%s{", ipc_name(type));
    print_fields(b, messages[type].fields(), message);
    buf_addc(b, '}');
}
