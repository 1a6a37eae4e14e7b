/*
 * The format: 256 pairs (position, slots) of hash tables; records (key length, value length, key,
 * value); tables of pairs (hash, position of the record). All numbers 32 bit, little endian.
 */
#include "table/cdb_file.h"

#include <endian.h>
#include <stdint.h>

enum { TABLES = 256, PAIR = 8, HEADER = TABLES * PAIR };

static uint32_t number_at(const struct cdb_file *f, size_t at)
{
    uint32_t n;

    memcpy(&n, f->bytes.p + at, sizeof n);
    return le32toh(n);
}

static bool has(const struct cdb_file *f, size_t at, size_t n)
{
    return at <= f->bytes.n && n <= f->bytes.n - at;
}

enum rc cdb_file_open(struct cdb_file *f, struct str bytes, struct why *why)
{
    if (bytes.n < HEADER || bytes.n > UINT32_MAX)
        return FAIL(why, RC_CONFIG, "this is no cdb file; make it again");
    f->bytes = bytes;
    return RC_OK;
}

static uint32_t hash_of(struct str key)
{
    uint32_t h = 5381;

    for (size_t i = 0; i < key.n; i++)
        h = (h + (h << 5)) ^ (unsigned char)key.p[i];
    return h;
}

static enum rc damaged(struct why *why)
{
    return FAIL(why, RC_TEMP, "the cdb file is damaged; make it again");
}

static enum rc record_at(const struct cdb_file *f, size_t at, struct str *key, struct str *value,
                         struct why *why)
{
    size_t key_n, value_n;

    if (!has(f, at, PAIR))
        return damaged(why);
    key_n = number_at(f, at);
    value_n = number_at(f, at + 4);
    if (!has(f, at + PAIR, key_n) || !has(f, at + PAIR + key_n, value_n))
        return damaged(why);
    *key = (struct str){f->bytes.p + at + PAIR, key_n};
    *value = (struct str){f->bytes.p + at + PAIR + key_n, value_n};
    return RC_OK;
}

enum rc cdb_file_get(const struct cdb_file *f, struct str key, struct str *value, struct why *why)
{
    uint32_t hash = hash_of(key);
    size_t table = number_at(f, hash % TABLES * PAIR), n = number_at(f, hash % TABLES * PAIR + 4);

    if (n && !has(f, table, n * PAIR))
        return damaged(why);
    for (size_t i = 0; i < n; i++) {
        size_t slot = table + (hash / TABLES + i) % n * PAIR;
        struct str found, its_value;
        if (number_at(f, slot + 4) == 0)
            return RC_NONE;
        if (number_at(f, slot) != hash)
            continue;
        TRY(record_at(f, number_at(f, slot + 4), &found, &its_value, why));
        if (str_eq(found, key)) {
            *value = its_value;
            return RC_OK;
        }
    }
    return RC_NONE;
}

/* Records stand between the header and the first hash table. */
static size_t end_of_records(const struct cdb_file *f)
{
    size_t end = f->bytes.n;

    for (size_t i = 0; i < TABLES; i++)
        if (number_at(f, i * PAIR) < end)
            end = number_at(f, i * PAIR);
    return end;
}

enum rc cdb_file_next(const struct cdb_file *f, size_t *at, struct str *key, struct str *value,
                      struct why *why)
{
    size_t here = *at ? *at : HEADER;

    if (here >= end_of_records(f))
        return RC_NONE;
    TRY(record_at(f, here, key, value, why));
    *at = here + PAIR + key->n + value->n;
    return RC_OK;
}
