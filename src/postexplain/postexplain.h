/* What the files of postexplain share. */
#pragma once

#include "access/instructions.h"
#include "access/program.h"
#include "access/reply_style.h"
#include "filter/filter.h"
#include "service/command.h"

struct question { /* from the command line; NULL: not given */
    const char *config_directory, *service;
    const char *rules_file;   /* --check-rules: this file alone */
    const char *instructions; /* --instructions: this table alone */
    const char *client, *client_name, *helo, *sender, *recipient, *etrn, *sasl_user, *ident;
    bool json;
    VEC(struct config_setting) overrides;
};

struct trace_step {
    struct str list; /* parameter or class where it stands */
    struct str restriction;
    enum verdict verdict;
    struct access_place place; /* of the rule that decided, in a file of rules */
};

struct explanation {
    struct arena *arena;
    const char *verdict;
    struct str reply;
    bool closes;
    long delay_seconds;
    struct str restriction; /* empty: nothing decided */
    struct access_place place;
    struct str text; /* of an error */
    bool has_instruction;
    struct instruction instruction;
    VEC(struct trace_step) steps;
    struct access_context *context;
    bool is_error;    /* of the client, or what a filter refuses: no rule was asked */
    bool hangs_up;    /* a filter */
    bool is_greeting; /* sent as it is */
    struct filter_set filter_set;
    struct filters *filters; /* NULL: none */
    ssize_t deferring;       /* the step that said "not if it is permitted"; -1: none */
};

/* options.c: exits when they are wrong. */
void question_read(struct command *c, struct arena *a, int argc, char **argv, struct question *q);

/* explain.c: RC_OK, or words about a file that is refused. */
enum rc explain(struct command *c, const struct question *q, struct explanation *e,
                struct why *why) MUST_USE;

/* session.c: verdict, reply and who has decided. */
enum rc explain_session(const struct question *q, const struct config *config,
                        struct explanation *e, struct why *why) MUST_USE;
void conclude(const struct config *config, enum verdict v, struct explanation *e);
void note_step(void *tracer, const struct program *program, const struct step *s,
               enum verdict verdict);
/* filters.c: false: refused. first: before the parameter, see filters_ask(). */
enum rc explain_filters_open(const struct config *config, struct explanation *e,
                             struct why *why) MUST_USE;
bool explain_filters(struct explanation *e, enum filter_phase phase, struct str first,
                     struct str *parameter);
/* Where a parameter is set, when it is. */
void place_of_setting(const struct config *config, struct str parameter, struct explanation *e);

/* client.c: what a session would know. */
enum rc fill_context(const struct question *q, struct resolver *resolver, struct arena *a,
                     const struct config *config, struct access_context *context,
                     struct why *why) MUST_USE;

/* instruct.c: the client's instruction, and the configuration with its settings in force. */
enum rc apply_instructions(struct command *c, const char *tables,
                           const struct access_context *context, struct resolver *resolver,
                           const struct config **config, struct explanation *e,
                           struct why *why) MUST_USE;

/* print.c */
void explain_error(const struct question *q, struct explanation *e, const struct why *why);
void print_text(const struct explanation *e);
enum rc print_json(const struct explanation *e, struct why *why) MUST_USE;
