/*
 * The lock that says that a master runs: on process_id_directory/master.pid below
 * queue_directory, and a second one in data_directory.
 */
#pragma once

#include <sys/types.h>

#include "util/why.h"

struct config;

/* Is a master running on this queue? *pid: 0 when none. RC_CONFIG: the lock file is unreadable. */
enum rc master_lock_test(const struct config *config, pid_t *pid, struct why *why) MUST_USE;

/* Take both locks and write our pid. *pid_file: also touched after a reload, for who waits. */
enum rc master_lock_take(const struct config *config, int *pid_file, int *data_file,
                         struct why *why) MUST_USE;

/* When master has started or reloaded last, in nanoseconds; 0: no lock file. */
long master_lock_stamp(const struct config *config);
