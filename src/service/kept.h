/*
 * Memory that outlives the processes of a service: what one has learnt, its successor after
 * "postfix reload" or a crash knows. Master makes it, empty, and passes it on; it ends with master.
 */
#pragma once

#include <stdbool.h>

enum { KEPT_BYTES = 4096 };

#define KEPT_ENVIRONMENT "POSTERN_KEPT_FD"

bool kept_is_wanted(const char *program);
int kept_create(void); /* the descriptor; -1 with errno */

/* Of a process: KEPT_BYTES of zeros or of a predecessor's; NULL: there are none. */
void *kept_join(void);
