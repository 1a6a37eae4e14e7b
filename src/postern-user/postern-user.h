/* Inside postern-user(1). */
#pragma once

#include "service/command.h"
#include "util/arena.h"

/* A table of users: its text source, held by a lock, and the type that is made of it. */
struct users {
    const struct command *command;
    struct arena *arena;
    struct str type;  /* "texthash", "lmdb" ... */
    const char *path; /* of the source */
    int fd;           /* locked; -1: there is no source */
    struct str text;
};

/* type_name: as in smtpd_sasl_path. to_write: wait for others who write, and make a source that
 * is not there. RC_CONFIG: not a table that is made of a text file. */
enum rc users_open(struct users *u, struct str type_name, bool to_write, struct why *why) MUST_USE;
void users_close(struct users *u);

/* RC_NONE: nobody of that name. value: a view of the text. */
enum rc users_find(const struct users *u, struct str name, struct str *value,
                   struct why *why) MUST_USE;
void users_list(const struct users *u);

/* Put the entry in, in place of an old one; value.p == NULL: take it out. Source and table are
 * replaced as a whole. */
enum rc users_set(struct users *u, struct str name, struct str value, struct why *why) MUST_USE;

/* From the terminal, twice when it is a new one; else the first line of standard input. */
enum rc password_read(struct arena *a, bool is_new, struct str *password, struct why *why) MUST_USE;
