/* Dates of mail. */
#pragma once

#include <time.h>

#include "util/str.h"

enum { DATE_SIZE = 64 };
/* RFC 5322 3.3 with zone name comment: "Sat, 21 Nov 2026 10:35:00 +0000 (UTC)". */
void date_rfc5322(char text[DATE_SIZE], time_t t);
/* "Sat Nov 21 10:35:00 2026" local time, no newline (mbox From line, queue listing). */
void date_ctime(char text[DATE_SIZE], time_t t);
