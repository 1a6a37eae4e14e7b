/* Counters: show stats, show status, monitor. */
#include <stdlib.h>
#include <unistd.h>

#include "smtpctl/smtpctl.h"
#include "util/clock.h"

enum { LINES_PER_HEADER = 25 };

static void print_duration(long t)
{
    static const struct {
        char unit;
        long seconds;
    } units[] = {{'d', 86400}, {'h', 3600}, {'m', 60}};

    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (t >= units[i].seconds)
            printf("%ld%c", t / units[i].seconds, units[i].unit);
        t %= units[i].seconds;
    }
    printf("%lds\n", t);
}

static int by_name(const void *a, const void *b)
{
    struct str x = *(const struct str *)a, y = *(const struct str *)b;

    return str_cmp(str_cut(&x, '='), str_cut(&y, '='));
}

/* Ours stand behind OpenSMTPD's. */
static void print_lines(const struct str *lines, size_t n, bool ours)
{
    for (size_t i = 0; i < n; i++)
        if (str_has_prefix(lines[i], STR("postern.")) == ours)
            printf(STR_FMT "\n", STR_ARG(lines[i]));
}

static bool is_switch(struct str line)
{
    return str_has_prefix(line, STR("paused=")) || str_has_prefix(line, STR("trace=")) ||
           str_has_prefix(line, STR("started="));
}

static void stats_2011(struct str stats, long up)
{
    static const struct {
        const char *name, *counter;
    } names[] = {
        {"smtp.sessions", "postern.smtp.connect"},
        {"smtp.sessions.active", "smtp.session"},
        {"smtp.sessions.inet4", "smtp.session.inet4"},
        {"smtp.sessions.inet6", "smtp.session.inet6"},
        {"smtp.sessions.smtps", "postern.smtp.smtps"},
        {"smtp.sessions.smtps.active", "smtp.smtps"},
        {"smtp.sessions.starttls", "postern.smtp.tls"},
        {"smtp.sessions.starttls.active", "smtp.tls"},
        {"smtp.sessions.aborted", "postern.smtp.lost"},
        {"smtp.sessions.timeout", "postern.smtp.timeout"},
        {"smtp.errors.tempfail", "scheduler.delivery.tempfail"},
        {"mta.sessions", "mta.session"},
        {"mda.sessions", "mda.running"},
        {"control.sessions", "control.session"},
        {"runner.bounces", "queue.bounce"},
        {"queue.inserts.remote", "postern.queue.message"},
        {"ramqueue.envelopes", "scheduler.ramqueue.envelope"},
        {"ramqueue.messages", "scheduler.ramqueue.message"},
        {"ramqueue.hosts", "mta.host"},
    };

    printf("parent.uptime=%ld\n", up);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        printf("%s=%ld\n", names[i].name, stat_of(stats, names[i].counter));
}

/* What control(8) knows, and what others are asked for. */
static struct str all_stats(struct smtpctl *s)
{
    struct str counted = ask_stats(s);
    AUTO_BUF more;

    buf_init(&more, 4096);
    add_destination_counters(s, &more);
    buf_addf(&more, "scheduler.envelope=%ld\n", ask_envelopes(s));
    return arena_join(s->arena, counted, buf_str(&more));
}

int show_stats(struct smtpctl *s)
{
    struct str stats = all_stats(s), rest = stats, line;
    long up = clock_seconds() - stat_of(stats, "started");
    VEC(struct str) lines = {0};

    if (s->set == SET_2011) {
        stats_2011(stats, up);
        return STATUS_DONE;
    }
    while (str_token(&rest, "\n", &line))
        if (!is_switch(line))
            vec_add(s->arena, &lines, line);
    if (lines.n)
        qsort(lines.v, lines.n, sizeof *lines.v, by_name);
    print_lines(lines.v, lines.n, false);
    printf("uptime=%ld\nuptime.human=", up);
    print_duration(up);
    print_lines(lines.v, lines.n, true);
    return STATUS_DONE;
}

int show_sizes(struct smtpctl *s)
{
    (void)s;
    printf("struct message: %zu\nstruct envelope: %zu\nstruct board_counters: %zu\n",
           sizeof(struct message), sizeof(struct envelope), sizeof(struct board_counters));
    return STATUS_DONE;
}

int show_status(struct smtpctl *s)
{
    unsigned paused = (unsigned)stat_of(ask_stats(s), "paused");

    printf("MDA %s\n", paused & PAUSED_MDA ? "paused" : "running");
    printf("MTA %s\n", paused & PAUSED_MTA ? "paused" : "running");
    printf("SMTP %s\n", paused & PAUSED_SMTP ? "paused" : "running");
    return STATUS_DONE;
}

/* ---- monitor ---- */

struct digest {
    long connect, disconnect, enqueued, dequeued, ok, tempfail, permfail, loop, expired, removed,
        bounced;
};

static struct digest digest_of(struct str stats)
{
    return (struct digest){
        .connect = stat_of(stats, "postern.smtp.connect"),
        .disconnect = stat_of(stats, "postern.smtp.disconnect"),
        .enqueued = stat_of(stats, "postern.envelope.enqueued"),
        .dequeued = stat_of(stats, "postern.envelope.dequeued"),
        .ok = stat_of(stats, "scheduler.delivery.ok"),
        .tempfail = stat_of(stats, "scheduler.delivery.tempfail"),
        .permfail = stat_of(stats, "scheduler.delivery.permfail"),
        .loop = stat_of(stats, "scheduler.delivery.loop"),
        .expired = stat_of(stats, "scheduler.envelope.expired"),
        .removed = stat_of(stats, "scheduler.envelope.removed"),
        .bounced = stat_of(stats, "queue.bounce"),
    };
}

static void print_digest(const struct digest *d, const struct digest *last, long waiting)
{
    printf("%4ld %4ld %4ld  %4ld %4ld %4ld  %4ld    %4ld    %4ld %4ld   %4ld   %4ld   %4ld\n",
           d->connect - d->disconnect, d->connect - last->connect, d->disconnect - last->disconnect,
           waiting, d->enqueued - last->enqueued, d->dequeued - last->dequeued, d->ok - last->ok,
           d->tempfail - last->tempfail, d->permfail - last->permfail, d->loop - last->loop,
           d->expired - last->expired, d->removed - last->removed, d->bounced - last->bounced);
    fflush(stdout);
}

/*
 * The first line has the totals, the others what a second has brought. Ends with the reader, or
 * with the mail system. No connection is kept: a reload would end it.
 */
int do_monitor(struct smtpctl *s)
{
    struct digest last = {0};

    for (long n = 0; !ferror(stdout); n++) {
        struct str stats = ask_stats(s);
        struct digest now = digest_of(stats);
        if (n % LINES_PER_HEADER == 0) {
            fputs(n ? "\n" : "", stdout);
            puts("--- client ---  -- envelope --   ---- relay/delivery --- ------- misc -------");
            puts("curr conn disc  curr  enq  deq    ok tmpfail prmfail loop expire remove bounce");
        }
        print_digest(&now, &last, ask_envelopes(s));
        last = now;
        ipc_done(&s->control);
        s->control.fd = -1;
        arena_reset(s->arena);
        sleep(1);
    }
    return STATUS_DONE;
}
