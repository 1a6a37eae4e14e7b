/*
 * Logical lines of main.cf, master.cf and lookup table sources.
 *
 * Lines whose first non-blank is '#' and blank lines do not exist, also between continuation lines.
 * A line that starts with a blank continues the one before; its blanks stay, the line end goes.
 */
#pragma once

#include <stdbool.h>

#include "util/str.h"

struct line_reader {
    char *next, *end;
    int number; /* physical lines read */
};

/* text: writable, with a NUL at text[n]; it is joined in place. */
void lines_start(struct line_reader *r, char *text, size_t n);

/*
 * The next logical line, without blanks at its ends, NUL-terminated, a view of the text. number:
 * the line where it starts. False at the end.
 */
bool lines_next(struct line_reader *r, struct str *line, int *number);
