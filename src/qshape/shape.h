/* The counts of qshape: by domain and age. */
#pragma once

#include <stdio.h>

#include "ipc/ipc.h"

struct shape_options {
    long buckets, minutes; /* of age: how many, how wide the first one is */
    bool linear;           /* all as wide as the first; else each twice as wide as the one before */
    bool senders;          /* instead of recipients */
    bool parents;          /* parent domains as well, as ".domain" */
    long min_subdomains;   /* that a parent domain must have */
    long width;            /* of the terminal */
    long batch, top;       /* on a terminal: after so many messages show so many domains */
    bool on_terminal;
};

struct shape;
struct shape *shape_new(const struct shape_options *o);
void shape_free(struct shape *s);

/* One entry of the listing; a message with very many recipients comes in several. */
void shape_count(struct shape *s, const struct queue_entry *e);

/* Most mail first; at most so many domains. */
void shape_print(struct shape *s, FILE *out, size_t most);
