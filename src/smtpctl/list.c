/* show queue, runqueue, envelope, message. */
#include <stdlib.h>
#include <unistd.h>

#include "config/config.h"
#include "config/master_cf.h"
#include "rewrite/rewrite.h"
#include "smtpctl/smtpctl.h"
#include "util/clock.h"

struct listing {
    struct smtpctl *s;
    struct selection selection;
    bool only_running;
    struct rewriter *rewriter;
    struct master_cf master;
    long now;
    size_t found;
};

static void listing_begin(struct listing *l, struct smtpctl *s, const char *what)
{
    const struct master_reading how = {.config = s->command.config};
    struct why why = {0};

    queue_begin(s);
    *l = (struct listing){.s = s, .now = clock_seconds()};
    l->selection = what ? selection_of(s, what) : (struct selection){.all = true};
    if (rewriter_new(s->command.config, &s->command.log, &l->rewriter, &why) != RC_OK ||
        master_cf_load(NULL, &how, s->arena, &l->master, &why) != RC_OK)
        log_fatal(&s->command.log, STATUS_FAILED, "%s", why.text);
}

static struct str transport_of(const struct listing *l, const struct message *m,
                               const struct recipient *r)
{
    struct resolved out = {0};
    struct why why;

    if (resolve_action(l->rewriter, r->action, r->address, m->arena, &out, &why) == RC_OK)
        return out.transport;
    if (resolve_address(l->rewriter, m->m.sender, r->address, false, m->arena, &out, &why) != RC_OK)
        return STR_NONE;
    return out.transport;
}

/* Local delivery or another system? As the program behind the transport says. */
static bool is_mda(const struct listing *l, struct str transport)
{
    static const char *const local[] = {"local", "virtual", "pipe", "lmtp"};
    struct str program = transport;

    for (size_t i = 0; i < l->master.n; i++)
        if (l->master.entries[i].type == MASTER_UNIX &&
            str_eq(l->master.entries[i].name, transport))
            program = l->master.entries[i].command;
    for (size_t i = 0; i < sizeof local / sizeof *local; i++)
        if (str_eq(program, str_of(local[i])))
            return true;
    return false;
}

/* Without notes: another system has written the file, or nobody has tried it since. */
static long retries_of(const struct message *m)
{
    return m->notes.attempts ? m->notes.attempts : m->last_attempt != 0;
}

static long lifetime_of(const struct listing *l, const struct message *m, struct str transport)
{
    const struct config *c = l->s->command.config;
    long seconds = m->m.sender.n ? c->maximal_queue_lifetime : c->bounce_queue_lifetime, own;
    struct why why;

    if (transport.n && config_transport_time(c, transport, "queue_lifetime", &own, &why) == RC_OK &&
        own > 0 && own < seconds)
        return own;
    return seconds;
}

/* Its name, when a rule of match_rules(5) has decided. */
static struct str action_of(const struct recipient *r)
{
    return str_eq(r->action, STR("-")) || str_index(r->action, ':') >= 0 ? STR_NONE : r->action;
}

/* As OpenSMTPD has it: USER@DOMAIN, also when both are empty. */
static struct str sender_of(const struct message *m)
{
    return m->m.sender.n ? m->m.sender : STR("@");
}

static long creation_of(const struct message *m)
{
    return m->m.create_sec ? m->m.create_sec : m->m.arrival_sec;
}

static bool is_held(const struct message *m)
{
    return str_eq(m->queue_name, STR("hold"));
}

static void add_flag(struct buf *b, bool is_set, const char *name)
{
    if (is_set)
        buf_addf(b, "%s%s", b->n ? "," : "", name);
}

static void print_current(const struct listing *l, const struct message *m,
                          const struct envelope *e)
{
    const struct recipient *r = e->recipient;
    struct str peer = m->m.origin.client_address, transport = transport_of(l, m, r);
    long next = m->next_attempt > l->now ? m->next_attempt - l->now : 0;
    AUTO_BUF flags, state;

    buf_init(&flags, 256);
    buf_init(&state, 256);
    add_flag(&flags, m->m.sender.n == 0, "bounce");
    add_flag(&flags, m->m.origin.sasl_method.n > 0, "auth");
    add_flag(&flags, is_held(m), "suspend");
    if (!l->s->running)
        buf_add(&state, STR("offline|"));
    else if (m->active)
        buf_addf(&state, "inflight|%ld", m->last_attempt ? l->now - m->last_attempt : 0);
    else
        buf_addf(&state, "pending|%ld", next);
    printf("%016lx|%s|%s|%s|" STR_FMT "|" STR_FMT "|" STR_FMT "|%ld|%ld|%ld|%ld|%s|" STR_FMT "\n",
           e->id,
           str_index(peer, ':') >= 0   ? "inet6"
           : str_index(peer, '.') >= 0 ? "inet4"
                                       : "local",
           is_mda(l, transport) ? "mda" : "mta", buf_text(&flags), STR_ARG(sender_of(m)),
           STR_ARG(r->original.n ? r->original : r->address), STR_ARG(r->address), creation_of(m),
           creation_of(m) + lifetime_of(l, m, transport), m->last_attempt, retries_of(m),
           buf_text(&state), STR_ARG(e->reason));
}

static void print_2011(const struct listing *l, const struct message *m, const struct envelope *e)
{
    const struct recipient *r = e->recipient;
    struct str transport = transport_of(l, m, r);
    AUTO_BUF flags;

    buf_init(&flags, 256);
    add_flag(&flags, m->m.sender.n == 0, "BOUNCE");
    add_flag(&flags, m->m.origin.sasl_method.n > 0, "AUTH");
    add_flag(&flags, m->m.origin.client_address.n == 0, "ENQUEUED");
    if (flags.n == 0)
        buf_addc(&flags, '-');
    printf("%s|%016lx|%s|" STR_FMT "|" STR_FMT "|%ld|%ld|%ld", is_mda(l, transport) ? "MDA" : "MTA",
           e->id, buf_text(&flags), STR_ARG(sender_of(m)), STR_ARG(r->address), m->last_attempt,
           creation_of(m) + lifetime_of(l, m, transport), retries_of(m));
    if (e->reason.n)
        printf("|" STR_FMT, STR_ARG(e->reason));
    putchar('\n');
}

static bool list_one(void *context, struct message *m)
{
    struct listing *l = context;

    if (!selection_has_message(&l->selection, m))
        return true;
    if (l->only_running && !m->active && (m->next_attempt == 0 || m->next_attempt > l->now))
        return true;
    for (size_t i = 0; i < m->n; i++)
        if (selection_has(&l->selection, &m->envelopes[i]))
            (l->s->set == SET_2011 ? print_2011 : print_current)(l, m, &m->envelopes[i]);
    return true;
}

static int list(struct smtpctl *s, bool only_running)
{
    struct listing l;

    listing_begin(&l, s, s->words[0]);
    l.only_running = only_running;
    queue_walk(s, list_one, &l);
    rewriter_free(l.rewriter);
    return STATUS_DONE;
}

int show_queue(struct smtpctl *s)
{
    return list(s, false);
}

int show_runqueue(struct smtpctl *s)
{
    return list(s, true);
}

static bool print_envelope(void *context, struct message *m)
{
    struct listing *l = context;

    if (!selection_has_message(&l->selection, m))
        return true;
    for (size_t i = 0; i < m->n; i++) {
        const struct recipient *r = m->envelopes[i].recipient;
        const struct origin *o = &m->m.origin;
        struct str transport = transport_of(l, m, r);
        if (!selection_has(&l->selection, &m->envelopes[i]))
            continue;
        if (l->found++)
            putchar('\n');
        printf("version: 3\ndispatcher: " STR_FMT "\n",
               STR_ARG(action_of(r).n ? action_of(r) : transport));
        if (o->log_ident.n)
            printf("tag: " STR_FMT "\n", STR_ARG(o->log_ident));
        printf("type: %s\n", is_mda(l, transport) ? "mda" : "mta");
        printf("smtpname: " STR_FMT "\n", STR_ARG(l->s->command.config->myhostname));
        printf("helo: " STR_FMT "\nhostname: " STR_FMT "\n", STR_ARG(o->helo),
               STR_ARG(o->client_name));
        if (m->envelopes[i].reason.n)
            printf("errorline: " STR_FMT "\n", STR_ARG(m->envelopes[i].reason));
        printf("sockaddr: " STR_FMT "\n",
               STR_ARG(o->client_address.n ? o->client_address : STR("local")));
        printf("sender: " STR_FMT "\nrcpt: " STR_FMT "\ndest: " STR_FMT "\n", STR_ARG(sender_of(m)),
               STR_ARG(r->original.n ? r->original : r->address), STR_ARG(r->address));
        printf("ctime: %ld\nlast-try: %ld\nlast-bounce: 0\nttl: %ld\nretry: %ld\n", creation_of(m),
               m->last_attempt, lifetime_of(l, m, transport), retries_of(m));
        printf("dsn-notify: %ld\n", r->dsn_notify);
        if (o->sasl_method.n || is_held(m))
            printf("flags: %s%s%s\n", o->sasl_method.n ? "auth" : "",
                   o->sasl_method.n && is_held(m) ? "," : "", is_held(m) ? "suspend" : "");
        printf("queue-id: " STR_FMT "\n", STR_ARG(m->queue_id));
    }
    return true;
}

int show_envelope(struct smtpctl *s)
{
    struct listing l;

    listing_begin(&l, s, s->words[0]);
    queue_walk(s, print_envelope, &l);
    rewriter_free(l.rewriter);
    if (l.found == 0)
        fputs("smtpctl: no such envelope\n", stderr);
    return l.found ? STATUS_DONE : STATUS_FAILED;
}

struct find {
    struct selection selection;
    char id[QUEUE_ID_SIZE];
};

static bool find_one(void *context, struct message *m)
{
    struct find *f = context;

    if (!selection_has_message(&f->selection, m))
        return true;
    snprintf(f->id, sizeof f->id, STR_FMT, STR_ARG(m->queue_id));
    return false;
}

int show_message(struct smtpctl *s)
{
    struct find f = {0};
    const char *argv[] = {"postcat", "-q", "-b", "-h", f.id, NULL};

    queue_begin(s);
    f.selection = selection_of(s, s->words[0]);
    queue_walk(s, find_one, &f);
    if (f.id[0] == '\0') {
        fputs("smtpctl: no such message\n", stderr);
        return STATUS_FAILED;
    }
    return run_command(s, argv, STR_NONE, false);
}
