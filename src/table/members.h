/* The tables inside "pipemap:{type:name, ...}" and the like. */
#pragma once

#include "table/driver.h"

struct members {
    struct table **tables;
    size_t n;
};

/* Fills o->state. A member that cannot be opened now is a surrogate like any other table. */
enum rc members_open(struct driver_open *o, struct why *why) MUST_USE;
void members_close(void *state);
