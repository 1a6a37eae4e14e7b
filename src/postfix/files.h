/*
 * postfix-files: what an installation consists of, one file or directory per line.
 *
 *     name:type:owner:group:permission:flags
 *
 * type: d directory, f file, h hard link, l symbolic link (then owner is the other name). "-" is an
 * empty field; $name are parameters of main.cf.
 */
#pragma once

#include "config/config.h"

struct installed {
    struct str path, owner, group;
    char type;
    mode_t mode; /* 0: none given */
};

struct installed_list {
    struct installed *v;
    size_t n;
};

/* meta_directory/postfix-files. RC_CONFIG names the line. Optional parts whose directory is "no"
 * are left out. */
enum rc files_read(const struct config *config, struct arena *a, struct installed_list *out,
                   struct why *why) MUST_USE;
