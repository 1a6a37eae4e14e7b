/* Socket activation and notification: the two environment variables of systemd(1). */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "master/master.h"

enum { FIRST_GIVEN_FD = 3 };

void systemd_adopt(struct master *m)
{
    long pid = 0, n = 0;

    if (!str_to_long(str_of(getenv("LISTEN_PID")), 1, INT_MAX, &pid) || pid != getpid() ||
        !str_to_long(str_of(getenv("LISTEN_FDS")), 1, LISTENERS_PER_SERVICE, &n))
        return;
    for (int fd = FIRST_GIVEN_FD; fd < FIRST_GIVEN_FD + n; fd++) {
        int copy = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_GIVEN_FD + (int)n);
        close(fd);
        if (copy >= 0)
            m->given[m->n_given++] = copy;
    }
}

static bool listens_at(int fd, const struct endpoint *p, enum master_type type)
{
    struct addr at;
    struct stat ours, theirs;

    if (addr_of_socket(fd, false, &at, NULL) != RC_OK)
        return false;
    if (type == MASTER_INET)
        return addr_family(&at) == addr_family(&p->addr) && addr_equal(&at, &p->addr) &&
               addr_port(&at) == addr_port(&p->addr);
    return addr_family(&at) == AF_UNIX && stat(at.un.sun_path, &ours) == 0 &&
           stat(p->path.p, &theirs) == 0 && ours.st_ino == theirs.st_ino &&
           ours.st_dev == theirs.st_dev;
}

int systemd_socket(struct master *m, const struct endpoint *p, enum master_type type)
{
    for (size_t i = 0; i < m->n_given; i++) {
        int fd = m->given[i];
        if (fd >= 0 && listens_at(fd, p, type)) {
            m->given[i] = -1;
            return fd;
        }
    }
    return -1;
}

void systemd_notify(const char *text)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct addr to = {.un.sun_family = AF_UNIX};
    size_t n = path ? strlen(path) : 0;
    int s;

    if (n == 0 || n >= sizeof to.un.sun_path || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(to.un.sun_path, path, n);
    if (path[0] == '@') /* an abstract name */
        to.un.sun_path[0] = '\0';
    to.bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (s < 0)
        return;
    (void)!sendto(s, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT, &to.sa, to.bytes);
    close(s);
}
