/* What smtpctl(8) asks for by way of the service control: pausing, tracing, the end. */
#include "master/master.h"

bool service_is_paused(const struct master_service *s)
{
    return atomic_load(&s->master->board.switches->paused) & PAUSED_SMTP && s->entry &&
           board_is_smtp(s->entry->command.p, master_type_name(s->entry->type));
}

void control_begin(struct master *m)
{
    const struct config *c = m->current->config;
    unsigned trace = 0;
    struct why why;

    if (board_trace_parse(c->trace_subsystems, &trace, &why) != RC_OK)
        log_warning(&m->log, "trace_subsystems: %s", why.text);
    atomic_store(&m->board.switches->trace, trace);
    atomic_store(&m->board.switches->paused, board_paused_parse(c->smtpctl_paused));
}

/* Those that serve mail clients end when they are done with those they have; then nobody listens.
 */
static void set_paused(struct master *m, unsigned bits)
{
    unsigned before = atomic_exchange(&m->board.switches->paused, bits);

    for (struct master_service *s = m->services; s; s = s->next) {
        if (service_is_paused(s) && !(before & PAUSED_SMTP))
            children_dismiss(s, 0);
        service_review(s);
    }
}

void control_take(struct child *c, const struct status_report *r)
{
    struct master *m = c->master;
    struct board_switches *switches = m->board.switches;
    unsigned value = (unsigned)r->value;

    if (!str_eq(str_of(c->command), STR("control"))) {
        log_warning(&m->log, "process %s pid %d asks for what is up to control(8)", c->command,
                    (int)c->pid);
        return;
    }
    switch (r->word) {
    case STATUS_SET_TRACE: atomic_store(&switches->trace, value); break;
    case STATUS_SET_PAUSED: set_paused(m, value); break;
    case STATUS_STOP: master_stop(m, ": smtpctl stop"); break;
    default: break;
    }
}
