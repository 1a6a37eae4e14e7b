/* Printing the records of a queue file. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "util/why.h"

struct postcat {
    bool envelope, header, body;     /* what */
    bool file_name, offset, decimal; /* what stands before each line, in this order */
    bool verbose;                    /* names of all records; padding and pointers are shown */
    bool raw;                        /* with verbose: in the order of the file */
    long start;                      /* offset of the first record */
    struct queue_keys *keys;         /* of encrypted content; NULL: none */
};

/* Will postcat_print() want keys? */
bool postcat_needs_keys(const struct postcat *p, int fd);

/* RC_PERM without words: this is no queue file. RC_PERM, RC_TEMP: it ends badly. */
enum rc postcat_print(const struct postcat *p, int fd, const char *name, FILE *out,
                      struct why *why) MUST_USE;
