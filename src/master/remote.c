/*
 * postfix_control_group: its members may reload, stop and flush the system. They connect to a
 * socket that only they and root can open, and say one word.
 */
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "master/master.h"
#include "util/memory.h"
#include "util/net.h"

enum { BACKLOG = 16, MODE = 0660, WORD_MAX = 32, DIRECTORY_MODE = 0755 };

struct peer {
    struct master *master;
    int fd;
};

static void answer(struct peer *p, const char *words)
{
    struct master *m = p->master;

    (void)!send(p->fd, words, strlen(words), MSG_NOSIGNAL | MSG_DONTWAIT);
    loop_unwatch(m->loop, p->fd);
    close(p->fd);
    free(p);
}

/* As postqueue -f: a try for all, whatever their next attempt is. */
static void flush_queue(const struct master *m)
{
    for (const struct master_service *s = m->services; s; s = s->next)
        if (s->entry && str_eq(s->entry->name, m->current->config->queue_service_name))
            service_poke(s, STR("FADI"));
}

static void word_came(void *context, int events)
{
    struct peer *p = context;
    struct master *m = p->master;
    struct ucred who = {.uid = (uid_t)-1};
    socklen_t size = sizeof who;
    char word[WORD_MAX + 1] = "";
    ssize_t n = recv(p->fd, word, WORD_MAX, MSG_DONTWAIT);
    bool reload = strcmp(word, "reload") == 0, stop = strcmp(word, "stop") == 0;
    bool flush = strcmp(word, "flush") == 0;

    (void)events;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    (void)getsockopt(p->fd, SOL_SOCKET, SO_PEERCRED, &who, &size);
    answer(p, reload || stop || flush || strcmp(word, "status") == 0 ? "ok" : "unknown command");
    if (reload || stop || flush)
        log_info(&m->log, "%s: asked for by user %d of postfix_control_group", word, (int)who.uid);
    if (reload)
        master_reload(m);
    else if (flush)
        flush_queue(m);
    else if (stop)
        master_stop(m, ": asked for by a member of postfix_control_group");
}

static void somebody_came(void *context, int events)
{
    struct master *m = context;
    int fd = accept4(m->remote_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct peer *p;

    (void)events;
    if (fd < 0)
        return;
    p = NEW(struct peer);
    *p = (struct peer){m, fd};
    loop_watch(m->loop, fd, LOOP_READ, word_came, p);
}

static enum rc set_group(const struct config *c, const char *path, struct why *why)
{
    const struct group *group = getgrnam(c->postfix_control_group.p);

    if (group == NULL)
        return FAIL(why, RC_CONFIG, "postfix_control_group = %s: no such group; create it",
                    c->postfix_control_group.p);
    if (chown(path, (uid_t)-1, group->gr_gid) < 0 || chmod(path, MODE) < 0)
        return FAIL(why, RC_TEMP, "%s: %m", path);
    return RC_OK;
}

static void close_socket(struct master *m)
{
    if (m->remote_fd > 0) {
        loop_unwatch(m->loop, m->remote_fd);
        close(m->remote_fd);
    }
    m->remote_fd = -1;
    free(m->remote_path);
    m->remote_path = NULL;
}

/* The socket that is there stays: who has just connected is not turned away by a reload. */
static enum rc open_socket(struct master *m, const struct config *c, struct why *why)
{
    AUTO_ARENA a = arena_new(512);
    const char *directory = c->submit_socket_directory.p;
    struct str path = arena_printf(a, "%s/control", directory);

    if (m->remote_path && strcmp(m->remote_path, path.p) == 0 && access(path.p, F_OK) == 0)
        return set_group(c, path.p, why);
    close_socket(m);
    if (mkdir(directory, DIRECTORY_MODE) == 0)
        (void)!chmod(directory, DIRECTORY_MODE);
    TRY(net_listen_unix(path.p, SOCK_STREAM, MODE, BACKLOG, &m->remote_fd, why));
    loop_watch(m->loop, m->remote_fd, LOOP_READ, somebody_came, m);
    m->remote_path = memory_text(path.p);
    return set_group(c, path.p, why);
}

void master_open_remote(struct master *m)
{
    const struct config *c = m->current->config;
    struct why why;

    if (c->postfix_control_group.n && open_socket(m, c, &why) == RC_OK)
        return;
    if (c->postfix_control_group.n)
        log_warning(&m->log, "%s", why.text);
    close_socket(m);
}
