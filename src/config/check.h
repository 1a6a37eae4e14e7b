/*
 * Looking for mistakes: what "postfix check", start and postconf tell about main.cf and master.cf.
 *
 * Errors make services refuse to start: malformed lines, values of the wrong type or range.
 * Warnings are names without effect (unknown, never referred to, no_effect.def), or obsolete ones.
 */
#pragma once

#include "config/main_cf.h"
#include "config/master_cf.h"

struct check_report {
    void (*say)(void *context, bool is_error, const char *words);
    void *context;
};

/* Warnings about names. services may be NULL when there is no readable master.cf. */
void check_names(const struct main_cf *m, const struct master_cf *services,
                 const struct check_report *r);

/* The same without unused names of main.cf, for who looks at master.cf only. */
void check_master_names(const struct main_cf *m, const struct master_cf *services,
                        const struct check_report *r);

/* Everything in dir (NULL: the default), all mistakes, each once. RC_CONFIG when there was an
 * error. */
enum rc config_check(const char *dir, const struct check_report *r) MUST_USE;
