/* Delivery to a command: the message on its standard input, the outcome from its exit status. */
#pragma once

#include "deliver/deliver.h"
#include "deliver/process.h"

struct command {
    struct process process; /* input and output are filled in */
    struct str text;        /* for people: what is run */
    long time_limit;        /* seconds */
    unsigned copy_flags;    /* of deliver_copy() */
    struct str delivered_to, eol;
    /* what an exit status means; NULL: command_outcome() */
    struct dsn (*outcome)(struct arena *a, struct str command, int status, struct str output);
};

/* index: recipient whose addresses the prefix headers show. outcome: what to report. */
void command_deliver(struct delivery *d, size_t index, const struct command *c,
                     struct dsn *outcome);

/* What an exit status and the output of a command mean (sysexits(3), "X.Y.Z text" at the start of
 * the output). status: of waitpid(). */
struct dsn command_outcome(struct arena *a, struct str command, int status, struct str output);
