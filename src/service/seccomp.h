/* System calls that no mail service needs answer EPERM from now on, in all threads. */
#pragma once

#include "util/why.h"

/* RC_OK also where the kernel or the machine's architecture is unknown to it: then nothing
 * changes. */
enum rc seccomp_enter(struct why *why) MUST_USE;
