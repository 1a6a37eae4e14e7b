/* Queue ids, short and long. The short form is hexadecimal; the long form has digits without
 * vowels. */
#include <stdio.h>

#include "queue/queue.h"

enum {
    USEC_HEX_DIGITS = 5,
    SECONDS_DIGITS_MIN = 6,
    USEC_DIGITS = 4,
    SECONDS_BASE = 52,
    INODE_BASE = 51, /* without 'z', which stands between time and inode */
    LONG_Z_MIN = SECONDS_DIGITS_MIN + USEC_DIGITS
};

static const char safe_digits[] = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz";

/* Digits of value at the end of text[32], at least min of them; returns where they start. */
static char *put_digits(char text[32], unsigned long value, unsigned base, int min)
{
    char *p = text + 31;

    *p = '\0';
    for (; value || min > 0; value /= base, min--)
        *--p = safe_digits[value % base];
    return p;
}

void queue_id_make(char id[QUEUE_ID_SIZE], struct timespec created, ino_t inode, bool long_form)
{
    unsigned long usec = (unsigned long)created.tv_nsec / 1000;
    char seconds[32], fraction[32], file[32];

    if (long_form)
        snprintf(
            id, QUEUE_ID_SIZE, "%s%sz%s",
            put_digits(seconds, (unsigned long)created.tv_sec, SECONDS_BASE, SECONDS_DIGITS_MIN),
            put_digits(fraction, usec, SECONDS_BASE, USEC_DIGITS),
            put_digits(file, (unsigned long)inode, INODE_BASE, 1));
    else
        snprintf(id, QUEUE_ID_SIZE, "%0*lX%lX", USEC_HEX_DIGITS, usec, (unsigned long)inode);
}

bool queue_id_is_valid(struct str text)
{
    for (size_t i = 0; i < text.n; i++)
        if (!is_alnum(text.p[i]))
            return false;
    return text.n > 0 && text.n < QUEUE_ID_SIZE;
}

bool queue_id_is_long(struct str id)
{
    return str_rindex(id, 'z') >= LONG_Z_MIN;
}

static bool get_number(struct str text, unsigned base, unsigned long *value)
{
    *value = 0;
    for (size_t i = 0; i < text.n; i++) {
        const char *digit = text.p[i] ? strchr(safe_digits, text.p[i]) : NULL;
        if (digit == NULL || (unsigned)(digit - safe_digits) >= base ||
            __builtin_mul_overflow(*value, base, value) ||
            __builtin_add_overflow(*value, (unsigned long)(digit - safe_digits), value))
            return false;
    }
    return text.n > 0;
}

static bool get_hex(struct str text, unsigned long *value)
{
    *value = 0;
    for (size_t i = 0; i < text.n; i++) {
        char c = to_upper(text.p[i]);
        unsigned digit = is_digit(c) ? (unsigned)(c - '0') : (unsigned)(c - 'A') + 10;
        if (digit > 15 || *value >> 60)
            return false;
        *value = *value << 4 | digit;
    }
    return text.n > 0;
}

enum rc queue_id_time(struct str id, struct timespec *created, struct why *why)
{
    unsigned long seconds = 0, usec;
    ssize_t z = str_rindex(id, 'z');
    bool fine;

    if (z >= LONG_Z_MIN) {
        struct str stamp = str_head(id, (size_t)z);
        fine = get_number(str_head(stamp, stamp.n - USEC_DIGITS), SECONDS_BASE, &seconds) &&
               get_number(str_tail(stamp, USEC_DIGITS), SECONDS_BASE, &usec);
    } else {
        fine = id.n > USEC_HEX_DIGITS && get_hex(str_head(id, USEC_HEX_DIGITS), &usec);
    }
    if (!fine || usec >= 1000000 || seconds > LONG_MAX)
        return FAIL(why, RC_PERM, "\"" STR_FMT "\" is no queue id", STR_ARG(id));
    *created = (struct timespec){(time_t)seconds, (long)usec * 1000};
    return RC_OK;
}

enum rc queue_id_inode(struct str id, ino_t *inode, struct why *why)
{
    ssize_t z = str_rindex(id, 'z');
    unsigned long value;
    bool fine = z >= LONG_Z_MIN
                    ? get_number(str_from(id, (size_t)z + 1), INODE_BASE, &value)
                    : id.n > USEC_HEX_DIGITS && get_hex(str_from(id, USEC_HEX_DIGITS), &value);

    if (!fine)
        return FAIL(why, RC_PERM, "\"" STR_FMT "\" is no queue id", STR_ARG(id));
    *inode = (ino_t)value;
    return RC_OK;
}
