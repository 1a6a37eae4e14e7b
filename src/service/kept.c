#include "service/kept.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "util/str.h"

bool kept_is_wanted(const char *program)
{
    return str_eq(str_of(program), STR("tlsmgr"));
}

int kept_create(void)
{
    int fd = memfd_create("postern-kept", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd >= 0 && ftruncate(fd, KEPT_BYTES) == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

void *kept_join(void)
{
    long fd;
    void *p;

    if (!str_to_long(str_of(getenv(KEPT_ENVIRONMENT)), 0, INT_MAX, &fd))
        return NULL;
    unsetenv(KEPT_ENVIRONMENT);
    p = mmap(NULL, KEPT_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, (int)fd, 0);
    close((int)fd);
    if (p == MAP_FAILED)
        return NULL;
    madvise(p, KEPT_BYTES, MADV_DONTDUMP); /* there may be secrets */
    return p;
}
