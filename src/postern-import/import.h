/* What is collected from the other system, and how it is printed or written. */
#pragma once

#include "service/command.h"
#include "table/table.h"
#include "util/buf.h"

struct import_table {
    const char *name; /* of the file in the configuration directory */
    const char *type; /* "lmdb", "regexp" ...; NULL: no table, but a list that is read as it is */
    bool is_alias;    /* made by postalias, not postmap */
    struct buf text;
};

struct import_service {
    struct str name, maxproc;            /* "192.0.2.1:25", "40" */
    VEC(struct config_setting) settings; /* -o */
};

struct import {
    struct arena *arena;
    const struct log *log;
    const char *from, *config_directory;
    const struct config *defaults; /* to check rules with */
    VEC(struct config_setting) settings;
    VEC(struct import_table *) tables;
    VEC(struct import_service) services;
    VEC(struct str) virtual_domains;
    VEC(struct str) notes; /* what could not be converted, with file and line */
};

/* A later value of a name replaces the one before. Values are literal: "$" is doubled. */
void import_set(struct import *i, const char *name, struct str value);
/* Add to a list that is separated by ", "; main.cf text, "$" as it is. */
void import_add(struct import *i, const char *name, const char *item);
struct import_table *import_table(struct import *i, const char *name, const char *type);
/* "type:directory/name" of a table, for a setting. */
const char *import_table_name(struct import *i, const struct import_table *t);
void import_note(struct import *i, const char *format, ...) PRINTF_LIKE(2, 3);

/* Visit what is in a directory, in the order of the names. None: it cannot be read. */
void import_each_file(struct import *i, const char *directory,
                      void (*visit)(struct import *i, const char *path, const char *name));

enum rc import_print(struct import *i, struct why *why) MUST_USE;
/* RC_CONFIG: a file is there already that is not to be replaced. */
enum rc import_write(struct import *i, struct why *why) MUST_USE;

/* qmail.c */
enum rc qmail_read(struct import *i, struct why *why) MUST_USE;

/* aliases.c: alias/.qmail-NAME. */
void qmail_read_aliases(struct import *i);

/* services.c: instruct directories and tcp.smtp files of service directories, env files. */
void qmail_read_services(struct import *i);
