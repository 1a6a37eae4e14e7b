/*
 * From smtpd.conf to a configuration of the suite: main.cf, master.cf, match rules, tables. All in
 * memory; write.c puts it on disk or on standard output. Each setting names the line that it comes
 * from.
 */
#pragma once

#include "config/config.h"
#include "opensmtpd/options.h"
#include "smtpdconf/smtpdconf.h"
#include "util/buf.h"
#include "util/log.h"
#include "util/map.h"

struct generated_file {
    struct str name; /* below the directory */
    struct buf text;
    bool is_secret;
};

struct generator {
    struct arena *arena;
    const struct conf *conf;
    const struct options *options;
    const struct config *base; /* of the suite as it is installed */
    struct str dir;            /* where the files will be */
    struct str hostname;
    struct conf_place hostname_place;
    VEC(struct generated_file *) files;
    struct buf *main_cf, *master_cf, *rules, *actions, *filters;
    struct log log; /* of tables */
    VEC(struct str) warnings, errors;
    size_t n_lists;          /* of the rules */
    struct map lists;        /* table (its address) -> name of the list that it is by now */
    struct map action_names; /* without punctuation and case -> the first action of that name */
    struct map services;     /* what the service of an action does -> its name */
    struct map file_names;   /* -> generated file */
    bool lifetimes_differ;   /* between actions */
};

/* Fills g; what is wrong stands in g->errors, what has no effect in g->warnings. */
void generate(struct generator *g);
void generator_done(struct generator *g);

/* ---- output (generate.c) ---- */
struct buf *generate_file(struct generator *g, const char *name, bool is_secret);
struct str generate_place(struct generator *g, const struct conf_place *place); /* "FILE:LINE" */
/* main.cf; place NULL or line 0: a default. The value is taken as it is; '$' must be doubled. */
void set(struct generator *g, const struct conf_place *place, const char *name, const char *format,
         ...) PRINTF_LIKE(4, 5);
/* -o of the service of master.cf that was begun last */
void option(struct generator *g, const char *name, const char *format, ...) PRINTF_LIKE(3, 4);
void warn(struct generator *g, const struct conf_place *place, const char *format, ...)
    PRINTF_LIKE(3, 4);
void complain(struct generator *g, const struct conf_place *place, const char *format, ...)
    PRINTF_LIKE(3, 4);
/* '$' doubled, for texts of the administrator. */
struct str literal(struct generator *g, struct str text);
/* A name of a service or file made of any text. */
struct str plain_name(struct generator *g, const char *prefix, struct str text);

/* actions.c: as it stands in match_rules and the table of actions. */
struct str action_name(struct generator *g, const struct conf_action *a);
/* queue_key.c: before the start, when the key does not stand in smtpd.conf; or at a reload, which
 * keeps it. False after a complaint. */
bool queue_key_ask(struct generator *g);
bool queue_key_keep(struct generator *g);

/* ---- parts ---- */
void generate_queue_key(struct generator *g);
void generate_base(struct generator *g);
void generate_settings(struct generator *g);
void generate_limits(struct generator *g);
/* Those that concern one transport, which was begun last in master.cf. domain: it is for mail to
 * that domain; empty: to all without a transport of their own. */
void limit_transport(struct generator *g, struct str service, struct str domain);
/* limits.c: what a limit for all domains says; 0: nothing. */
long limit_value(const struct generator *g, const char *of, const char *name);
void generate_services(struct generator *g);
void generate_listeners(struct generator *g);
void generate_certificates(struct generator *g);
void generate_filters(struct generator *g);
void generate_actions(struct generator *g);
void generate_rules(struct generator *g);

/* tables.c: "type:name" of a table with keys and values; entries written to a file when needed. */
enum table_use { USE_ALIASES, USE_MAP, USE_SECRET };
struct str table_as_map(struct generator *g, const struct conf_table *t, enum table_use use);
/* "type:path" of a backend, or STR_NONE after a complaint. */
struct str table_backend(struct generator *g, const struct conf_table *t);
/* All entries, of a backend those that it has now. A table that cannot be listed is complained of.
 */
struct entry_vec {
    const struct conf_entry *v;
    size_t n;
};
struct entry_vec table_entries(struct generator *g, const struct conf_table *t);
/* Value of a key; p == NULL: not there. */
struct str table_value(struct entry_vec entries, struct str key);

/* network.c: addresses to listen on; at least one, or a complaint. */
struct str_vec {
    struct str *v;
    size_t n, cap;
};
struct str_vec listen_addresses(struct generator *g, const struct conf_listen *l);
/* All addresses of this machine. */
struct str_vec own_addresses(struct generator *g);

/* write.c */
void generated_print(const struct generator *g);
enum rc generated_write(const struct generator *g, struct why *why) MUST_USE;

/* run.c: does not return when all goes well. */
int run_suite(struct generator *g);
/* The configuration of the installed suite. */
enum rc load_base(struct arena *a, const char *dir, struct config **out, struct why *why) MUST_USE;
