/* Destinations as qmgr sees them: show routes, relays, hosts, hoststats, mta paused; unblocking. */
#include <stdlib.h>

#include "smtpctl/smtpctl.h"
#include "util/net.h"

struct destination {
    struct str number, transport, nexthop, waiting, busy, window, flags, age, reason;
};

/* number|transport|nexthop|waiting|busy|window|flags|age|reason */
static bool next(struct str *lines, struct destination *d)
{
    struct str line;

    if (!str_token(lines, "\n", &line))
        return false;
    d->number = str_cut(&line, '|');
    d->transport = str_cut(&line, '|');
    d->nexthop = str_cut(&line, '|');
    d->waiting = str_cut(&line, '|');
    d->busy = str_cut(&line, '|');
    d->window = str_cut(&line, '|');
    d->flags = str_cut(&line, '|');
    d->age = str_cut(&line, '|');
    d->reason = line;
    return true;
}

static bool is_blocked_line(const struct destination *d)
{
    return str_eq(d->number, STR("0"));
}

static bool has_flag(const struct destination *d, char flag)
{
    return str_index(d->flags, flag) >= 0;
}

static const char *age_text(const struct smtpctl *s, const struct destination *d)
{
    if (d->age.n == 0 || d->age.p[0] == '-')
        return "-";
    return arena_printf(s->arena, STR_FMT "s", STR_ARG(d->age)).p;
}

static void print_route(const struct smtpctl *s, const struct destination *d)
{
    printf(STR_FMT ". " STR_FMT " <-> " STR_FMT " %c%c%c%c nconn=" STR_FMT
                   " nerror=%d penalty=%d timeout=%s\n",
           STR_ARG(d->number), STR_ARG(d->transport), STR_ARG(d->nexthop),
           str_eq(d->age, STR("-1")) ? 'N' : '-', has_flag(d, 'D') ? 'D' : '-',
           has_flag(d, 'P') ? 'Q' : '-', has_flag(d, 'B') ? 'B' : '-', STR_ARG(d->busy),
           has_flag(d, 'D') ? 1 : 0, has_flag(d, 'D') ? 1 : 0, age_text(s, d));
}

static void print_relay(const struct smtpctl *s, const struct destination *d)
{
    printf("[relay:" STR_FMT "," STR_FMT "] refcount=" STR_FMT " ntask=" STR_FMT " nconn=" STR_FMT
           " lastconn=%s timeout=- wait=%s\n",
           STR_ARG(d->nexthop), STR_ARG(d->transport), STR_ARG(d->window), STR_ARG(d->waiting),
           STR_ARG(d->busy), age_text(s, d),
           has_flag(d, 'D')               ? "connector"
           : has_flag(d, 'B')             ? "blocked"
           : str_eq(d->waiting, STR("0")) ? "-"
                                          : "connection");
}

static void print_host(const struct smtpctl *s, const struct destination *d)
{
    printf(STR_FMT " " STR_FMT " refcount=" STR_FMT " nconn=" STR_FMT " lastconn=%s\n",
           STR_ARG(d->nexthop), STR_ARG(d->nexthop), STR_ARG(d->waiting), STR_ARG(d->busy),
           age_text(s, d));
}

static void print_hoststat(const struct smtpctl *s, const struct destination *d)
{
    (void)s;
    if (d->age.n && d->age.p[0] != '-')
        printf(STR_FMT "|" STR_FMT "|" STR_FMT "\n", STR_ARG(d->nexthop), STR_ARG(d->age),
               STR_ARG(d->reason.n ? d->reason : STR("Ok")));
}

static int show(struct smtpctl *s,
                void (*print)(const struct smtpctl *, const struct destination *))
{
    struct str lines = ask_destinations(s);
    struct destination d;

    while (next(&lines, &d))
        if (!is_blocked_line(&d))
            print(s, &d);
    return STATUS_DONE;
}

int show_routes(struct smtpctl *s)
{
    return show(s, print_route);
}

int show_relays(struct smtpctl *s)
{
    return show(s, print_relay);
}

int show_hosts(struct smtpctl *s)
{
    return show(s, print_host);
}

int show_hoststats(struct smtpctl *s)
{
    return show(s, print_hoststat);
}

int show_mta_paused(struct smtpctl *s)
{
    struct str lines = ask_destinations(s);
    struct destination d;

    while (next(&lines, &d))
        if (is_blocked_line(&d))
            printf(STR_FMT " -> " STR_FMT "\n", STR_ARG(d.reason), STR_ARG(d.nexthop));
    return STATUS_DONE;
}

/*
 * What OpenSMTPD has several words for is one thing here: a destination, a nexthop of a transport.
 * It goes when it is not used any more.
 */
void add_destination_counters(struct smtpctl *s, struct buf *out)
{
    static const char *const words[] = {"connector", "domain", "host", "relay", "route"};
    struct str lines = ask_destinations(s);
    long n[2] = {0}, waiting[2] = {0}, busy[2] = {0};
    struct destination d;

    while (next(&lines, &d)) {
        int is_remote = has_flag(&d, 'R');
        long value;
        if (!is_remote && !has_flag(&d, 'L'))
            continue;
        n[is_remote]++;
        if (str_to_long(d.waiting, 0, LONG_MAX, &value))
            waiting[is_remote] += value;
        if (str_to_long(d.busy, 0, LONG_MAX, &value))
            busy[is_remote] += value;
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        buf_addf(out, "mta.%s=%ld\n", words[i], n[1]);
    buf_addf(out, "mta.task=%ld\nmta.task.running=%ld\n", waiting[1] + busy[1], busy[1]);
    buf_addf(out, "mda.user=%ld\nmda.pending=%ld\n", n[0], waiting[0]);
}

static int tell(struct smtpctl *s, const struct qmgr_control *word)
{
    struct why why = {0};
    long status = 0;

    ask_connect(s);
    if (ask_qmgr(s, word, &status, &why) != RC_OK)
        return say_result(false, str_of(why.text));
    return say_result(status == 0, STR_NONE);
}

int do_resume_route(struct smtpctl *s)
{
    struct qmgr_control word = {.operation = 'v'};

    if (!str_to_long(str_of(s->words[0]), 1, LONG_MAX, &word.number)) {
        fprintf(stderr, "smtpctl: invalid route: %s\n", s->words[0]);
        return STATUS_FAILED;
    }
    return tell(s, &word);
}

/* For the listing only, but it shall be one. */
static bool is_address(const char *text)
{
    struct addr address;
    struct why why;

    if (addr_parse(str_of(text), 0, &address, &why) == RC_OK)
        return true;
    fprintf(stderr, "smtpctl: invalid address: %s\n", text);
    return false;
}

int do_block(struct smtpctl *s)
{
    struct qmgr_control word = {.operation = 'B',
                                .queue_id = str_head(str_of(s->words[0]), 64),
                                .text = str_of(s->words[1])};

    return is_address(s->words[0]) ? tell(s, &word) : STATUS_FAILED;
}

int do_unblock(struct smtpctl *s)
{
    struct qmgr_control word = {.operation = 'U', .text = str_of(s->words[1])};

    return is_address(s->words[0]) ? tell(s, &word) : STATUS_FAILED;
}
