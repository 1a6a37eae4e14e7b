#pragma once

#include "service/command.h"

struct folder_lock {
    int fd;
    char dotlock[4096]; /* "" when that style is not used */
};

/* styles: as mailbox_delivery_lock, "flock, dotlock". Retries as deliver_lock_attempts says.
 * RC_CONFIG: unknown style. RC_TEMP: somebody else holds it. */
enum rc folder_lock(const struct config *config, struct str styles, const char *path,
                    struct folder_lock *lock, struct why *why) MUST_USE;
void folder_unlock(struct folder_lock *lock);
