/* One run of postconf: the options, the files, and how to print. */
#pragma once

#include "config/config.h"
#include "config/edit.h"
#include "config/evaluate.h"
#include "config/main_cf.h"
#include "config/master_cf.h"
#include "config/usage.h"
#include "util/log.h"

enum subject {
    MAIN_CF,
    MASTER_ENTRIES,    /* -M */
    MASTER_FIELDS_OF,  /* -F */
    MASTER_PARAMETERS, /* -P */
    SERVER_SASL_TYPES, /* -a */
    CLIENT_SASL_TYPES, /* -A */
    LOCK_TYPES,        /* -l */
    TABLE_TYPES,       /* -m */
    TEMPLATES,         /* -t, -b */
    TLS_FACTS,         /* -T */
};

enum class {
    CLASS_BUILTIN = 1,
    CLASS_SERVICE = 2,
    CLASS_USER = 4,
    CLASS_ALL = 7,
};

struct options {
    enum subject subject;
    char action; /* 0 show, or 'e', 'X', '#' */
    bool defaults, only_set, expanded, folded, no_names, only_names, json, quiet, expand_templates;
    int all_parameters; /* -PP */
    unsigned classes;
    const char *dir;
    const char *tls_mode;
    const struct config_setting *overrides; /* -o */
    size_t overrides_n;
    char **args;
};

struct postconf {
    const struct options *o;
    struct log *log;
    struct arena *arena;
    struct main_cf main;
    struct master_cf services;
    bool has_services;
    struct usage *usage;
};

/* All return the exit status. */
int show_main(struct postconf *p);
int show_master(struct postconf *p);
int edit_files(struct postconf *p);
int show_facts(const struct options *o, const struct log *log);

/* Read main.cf and master.cf; a missing master.cf is a warning. Exits when main.cf cannot be read.
 */
void read_files(struct postconf *p);

/* Warnings about unused, undefined and obsolete names, unless -q. */
void warn_about_names(struct postconf *p);

/*
 * Definitions to evaluate with: of main.cf and -o; for -d of nothing. service: with its -o
 * settings; may be NULL. Live as long as the run.
 */
struct config_source *definitions(struct postconf *p, const struct master_entry *service);

/* One "name = value" in the form that -f -h -H -j ask for. Runs of blanks become one. */
void print_setting(const struct options *o, const char *name, struct str value);
void print_json(const char *name, struct str value);
