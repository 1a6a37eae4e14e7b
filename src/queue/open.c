/* The queue as the configuration describes it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "config/config.h"
#include "queue/pack.h"
#include "util/file.h"
#include "util/memory.h"

enum { COMMITTERS = 32, XFS_MAGIC = 0x58465342 };

/* Where does fsync of a new file also make its name durable? */
static bool name_is_synced_with_file(int dir)
{
    struct statfs fs;

    if (fstatfs(dir, &fs) < 0)
        return false;
    switch ((unsigned long)fs.f_type) {
    case EXT4_SUPER_MAGIC:
    case XFS_MAGIC:
    case BTRFS_SUPER_MAGIC:
    case TMPFS_MAGIC: return true;
    default: return false;
    }
}

enum rc queue_open(const struct config *config, struct queue *q, struct why *why)
{
    char path[PATH_MAX];
    struct queue new = {
        .directory = config->queue_directory,
        .hashed = config->hash_queue_names,
        .hash_depth = config->hash_queue_depth,
        .long_ids = config->enable_long_queue_ids,
    };

    snprintf(path, sizeof path, STR_FMT, STR_ARG(config->queue_directory));
    new.dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (new.dir < 0)
        return FAIL(why, errno == EACCES || errno == ENOENT ? RC_CONFIG : RC_TEMP,
                    "open queue_directory %s: %m", path);
    new.sync_directory = !name_is_synced_with_file(new.dir);
    new.committers = NEW(sem_t);
    if (sem_init(new.committers, 0, COMMITTERS) < 0) {
        close(new.dir);
        free(new.committers);
        return FAIL(why, RC_TEMP, "sem_init: %m");
    }
    *q = new;
    return RC_OK;
}

enum rc queue_open_content(const struct config *config, struct queue *q, struct why *why)
{
    struct queue_keys *keys = NULL;
    enum rc rc;

    TRY(pack_is_possible(config->queue_compression, why));
    TRY(queue_keys_open(config, &keys, why));
    rc = queue_open(config, q, why);
    if (rc != RC_OK) {
        queue_keys_free(keys);
        return rc;
    }
    q->keys = keys;
    q->compresses = config->queue_compression;
    return RC_OK;
}

void queue_close(struct queue *q)
{
    if (q->committers == NULL)
        return;
    close(q->dir);
    sem_destroy(q->committers);
    free(q->committers);
    queue_keys_free(q->keys);
    *q = (struct queue){.dir = -1};
}
