/* Files and descriptors. */
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include "util/arena.h"

void fd_cleanup(int *fd);
#define AUTO_CLOSE __attribute__((cleanup(fd_cleanup)))

enum rc file_stat(int fd, struct stat *st, struct why *why) MUST_USE;

/* The whole file as text in the arena. RC_NONE: does not exist. RC_TEMP: other trouble, or > max.
 */
enum rc file_read(const char *path, size_t max, struct arena *a, struct str *text,
                  struct why *why) MUST_USE;
enum rc fd_read_all(int fd, size_t max, struct arena *a, struct str *text,
                    struct why *why) MUST_USE;

/* Replace path by text: temporary file beside it, mode (and owner of the old file kept), sync,
 * rename. */
enum rc file_replace(const char *path, struct str text, mode_t mode, struct why *why) MUST_USE;

/* Write everything. */
enum rc fd_write_all(int fd, struct str bytes, struct why *why) MUST_USE;

/* flock(); exclusive or shared. wait: sleep until free, else RC_TEMP at once when it is taken. */
enum rc fd_lock(int fd, bool exclusive, bool wait, struct why *why) MUST_USE;

enum rc fd_set_blocking(int fd, bool blocking, struct why *why) MUST_USE;

/* mkdir -p for the last component's parents as well; an existing directory is fine. */
enum rc dir_make(const char *path, mode_t mode, struct why *why) MUST_USE;
