/* smtp_header_checks and its relatives: header_checks(5) at delivery, with the actions that make
 * sense there. */
#pragma once

#include "smtp/smtp.h"

enum { CHECK_KEEP, CHECK_DROP, CHECK_TROUBLE };

/*
 * Look a line (what: "header" or "body") up and do what the table says. *text: replaced by REPLACE;
 * *before: a line that PREPEND puts in front, else empty. Both then live in the arena.
 */
int checks_apply(const struct log *log, struct maps *maps, const char *what, struct str *text,
                 struct str *before, struct arena *a);
