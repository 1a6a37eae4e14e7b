/* Where the texts of main.cf and master.cf come from: files, or the descriptors that master passed
 * on. */
#pragma once

#include "util/arena.h"
#include "util/log.h"

enum { CONFIG_FILE_MAX = 16 * 1024 * 1024 };

/* Is $POSTERN_CONFIG_FD set? */
bool snapshot_is_there(void);

/* The text of main.cf (master: of master.cf) in the snapshot; writable, NUL behind it. */
enum rc snapshot_read(bool master, struct arena *a, struct str *text, struct why *why) MUST_USE;

/*
 * The text of another file as it was when master read its configuration; RC_NONE: master did not
 * take it along. The snapshot is a row of "PATH\nBYTES\n" with the bytes behind.
 */
enum rc snapshot_file(struct str path, struct arena *a, struct str *text, struct why *why) MUST_USE;

/*
 * Read a file that a service cannot do without, and give its text to parse(), which may keep views
 * of it. When it is gone or bad since master has looked at it, what stood there then is taken, and
 * that is logged; not when the caller reads again and still has the last good one. RC_NONE: does
 * not exist.
 */
typedef enum rc snapshot_parse(void *context, struct str text, struct why *why);
enum rc snapshot_parse_file(const char *path, size_t max, bool again, const struct log *log,
                            struct arena *a, snapshot_parse *parse, void *context,
                            struct why *why) MUST_USE;

/* The same of a file: dir/name. RC_CONFIG when it cannot be read or holds a NUL byte. */
enum rc config_file_read(const char *dir, const char *name, struct arena *a, struct str *text,
                         struct why *why) MUST_USE;
