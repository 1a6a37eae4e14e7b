#include "global/logline.h"

#include <stdio.h>

#include "global/address.h"
#include "util/buf.h"
#include "util/clock.h"

/* What is written: two significant digits, at most "digits" of them after the point. */
struct str logline_seconds_text(char text[LOGLINE_SECONDS_SIZE], double seconds, long digits)
{
    static const long powers[] = {1, 10, 100, 1000, 10000, 100000, 1000000};
    long us = seconds <= 0 ? 0 : (long)(seconds * 1e6 + 0.5);
    long places, scaled, n;

    digits = digits < 0 ? 0 : digits > 6 ? 6 : digits;
    if (us >= 9950000)
        places = 0;
    else if (us >= 995000)
        places = 1;
    else
        for (places = 2; places < 6 && us < 1000000 / powers[places - 1]; places++)
            continue;
    if (places > digits)
        places = digits;
    scaled = (us + 500000 / powers[places]) / (1000000 / powers[places]); /* half up */
    while (places > 0 && scaled % 10 == 0) {
        scaled /= 10;
        places--;
    }
    if (places == 0)
        n = snprintf(text, LOGLINE_SECONDS_SIZE, "%ld", scaled);
    else
        n = snprintf(text, LOGLINE_SECONDS_SIZE, "%ld.%0*ld", scaled / powers[places], (int)places,
                     scaled % powers[places]);
    return (struct str){text, (size_t)n};
}

static bool is_set(struct timespec t)
{
    return t.tv_sec != 0 || t.tv_nsec != 0;
}

/* delays=a/b/c/d: before the queue manager, in it, connection set-up, transmission. */
static void stages(const struct logline_delivery *d, double s[4])
{
    s[0] = s[1] = s[2] = s[3] = 0;
    if (!is_set(d->active)) {
        s[0] = clock_diff(d->now, d->arrival);
        return;
    }
    s[0] = clock_diff(d->active, d->arrival);
    if (!is_set(d->agent)) {
        s[1] = clock_diff(d->now, d->active);
        return;
    }
    s[1] = clock_diff(d->agent, d->active);
    if (is_set(d->connected))
        s[2] = clock_diff(d->connected, d->agent);
    s[3] = clock_diff(d->now, is_set(d->connected) ? d->connected : d->agent);
}

void logline_delivered(const struct log *log, const struct logline_delivery *d)
{
    const struct recipient *r = d->recipient;
    AUTO_ARENA a = arena_new(1024);
    char text[5][LOGLINE_SECONDS_SIZE], use[40] = "";
    struct str to = address_quote(a, r->address), original = STR_NONE, relay = d->relay;
    double s[4];

    stages(d, s);
    for (int i = 0; i < 4; i++)
        logline_seconds_text(text[i], s[i], d->digits);
    logline_seconds_text(text[4], clock_diff(d->now, d->arrival), d->digits);
    if (r->original.n && !str_eq_nocase(r->original, r->address))
        original = address_quote(a, r->original);
    if (relay.n == 0)
        relay = STR("none");
    if (d->conn_use > 0)
        snprintf(use, sizeof use, ", conn_use=%ld", d->conn_use);
    log_info(
        log,
        "to=<" STR_FMT ">%s" STR_FMT "%s, relay=" STR_FMT
        "%s, delay=%s, delays=%s/%s/%s/%s%s" STR_FMT ", dsn=" STR_FMT ", status=%s (" STR_FMT ")",
        STR_ARG(to), original.n ? ", orig_to=<" : "", STR_ARG(original), original.n ? ">" : "",
        STR_ARG(relay), use, text[4], text[0], text[1], text[2], text[3], d->tls.n ? ", tls=" : "",
        STR_ARG(d->tls), STR_ARG(d->dsn->status), d->status, STR_ARG(d->dsn->reason));
}

void logline_queue_active(const struct log *log, struct str sender, long size, long recipients)
{
    AUTO_ARENA a = arena_new(256);
    struct str from = address_quote(a, sender);

    log_info(log, "from=<" STR_FMT ">, size=%ld, nrcpt=%ld (queue active)", STR_ARG(from), size,
             recipients);
}

void logline_removed(const struct log *log)
{
    log_info(log, "removed");
}

void logline_message_id(const struct log *log, struct str message_id, bool resent)
{
    log_info(log, "%smessage-id=" STR_FMT, resent ? "resent-" : "", STR_ARG(message_id));
}

void logline_uid(const struct log *log, long uid, struct str sender, struct str orig_id)
{
    AUTO_ARENA a = arena_new(256);
    struct str from = address_quote(a, sender);

    log_info(log, "uid=%ld from=<" STR_FMT ">%s" STR_FMT, uid, STR_ARG(from),
             orig_id.n ? " orig_id=" : "", STR_ARG(orig_id));
}
