/* "/file" in an alias or .forward file, and the word to biff. */
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config/config.h"
#include "local/local.h"

void deliver_file(struct attempt *at, struct target *t, struct str path)
{
    const struct user *as = t->rights ? t->rights : &at->state->nobody;
    struct mailbox m = {
        .path = path,
        .uid = as->uid,
        .gid = as->gid,
        .delivered_to = t->delivered,
        .copy_flags = COPY_RETURN_PATH | COPY_ORIGINAL_TO |
                      (at->state->mark_file ? (unsigned)COPY_DELIVERED_TO : 0),
        .size_limit = at->env->config->mailbox_size_limit,
    };
    bool maildir = str_has_suffix(path, STR("/"));
    struct str sender = at->d->request.sender;
    struct dsn outcome = dsn_simple("2.0.0", STR(""));

    if (!is_first(at, "file %u " STR_FMT, m.uid, STR_ARG(path)))
        return;
    if (deliver_is_trial(at->d)) {
        reportf(at, t, "2.0.0", "delivers to %s" STR_FMT,
                maildir ? "maildir " : "file: ", STR_ARG(path));
        return;
    }
    at->d->request.sender = t->sender;
    if (!str_eq(path, STR("/dev/null")))
        mailbox_deliver(at->d, at->index, &m, &outcome);
    at->d->request.sender = sender;
    if (outcome.status.p[0] == '2' && !maildir)
        outcome.reason = arena_printf(at->arena, "delivered to file: " STR_FMT, STR_ARG(path));
    report(at, t, &outcome);
}

/* "user@offset" to comsat(8), as far back as 4.2BSD. Nobody listens on most machines. */
void biff_notify(struct attempt *at, const struct user *user)
{
    enum { BIFF_PORT = 512 };
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(BIFF_PORT),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct str text = arena_printf(at->arena, STR_FMT "@0", STR_ARG(user->name));
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return;
    (void)!sendto(fd, text.p, text.n, MSG_DONTWAIT, (struct sockaddr *)&to, sizeof to);
    close(fd);
}
