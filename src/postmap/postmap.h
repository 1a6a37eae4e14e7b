/* Inside of postmap(1). */
#pragma once

#include "table/tool.h"

/*
 * -b, -h, -m: take standard input for a message, and look up each header and each body line that
 * the options name. 0: something was found.
 */
int query_message(struct tool_run *run);
