/* The wake-up column of master.cf: a byte 'W' to the service, again and again. Others may poke too.
 */
#include <fcntl.h>
#include <unistd.h>

#include "master/master.h"
#include "util/file.h"

enum { AFTER_CRASH_MS = 1000 };

/* Never waits: a service whose backlog is full is awake. */
void service_poke(const struct master_service *s, struct str letters)
{
    const struct endpoint *p = &s->endpoints[0];
    struct addr to = p->addr;
    AUTO_CLOSE int fd = -1;

    if (s->n_endpoints == 0)
        return;
    if (s->entry->type == MASTER_FIFO) {
        (void)!write(p->fd, letters.p, letters.n);
        return;
    }
    if (p->path.n) {
        to = (struct addr){.bytes = sizeof to.un};
        to.un.sun_family = AF_UNIX;
        if (p->path.n >= sizeof to.un.sun_path)
            return;
        memcpy(to.un.sun_path, p->path.p, p->path.n);
    }
    fd = socket(to.sa.sa_family,
                (s->entry->type == MASTER_UNIX_DGRAM ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC |
                    SOCK_NONBLOCK,
                0);
    if (fd >= 0 && connect(fd, &to.sa, to.bytes) == 0)
        (void)!send(fd, letters.p, letters.n, MSG_NOSIGNAL);
}

static void wakeup_now(void *context)
{
    struct master_service *s = context;

    service_poke(s, STR("W"));
    s->wakeup_timer = loop_after(s->master->loop, s->entry->wakeup * 1000, wakeup_now, s);
}

/* What it had in hand waits; nobody else may knock for a long time. */
void wakeup_after_crash(struct master_service *s)
{
    if (s->entry->wakeup <= 0 || s->wakeup_timer == NULL)
        return;
    loop_cancel(s->master->loop, s->wakeup_timer);
    s->wakeup_timer = loop_after(s->master->loop, AFTER_CRASH_MS, wakeup_now, s);
}

void wakeup_begin(struct master_service *s)
{
    const struct master_entry *e = s->entry;

    loop_cancel(s->master->loop, s->wakeup_timer);
    s->wakeup_timer = NULL;
    if (e->wakeup <= 0 || (e->wakeup_only_if_used && !s->used))
        return;
    s->wakeup_timer =
        loop_after(s->master->loop, e->wakeup_only_if_used ? e->wakeup * 1000 : 0, wakeup_now, s);
}
