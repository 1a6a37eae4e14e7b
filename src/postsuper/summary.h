/* The last lines of postsuper: what was done, and how often. */
#pragma once

struct postsuper;
void summary(const struct postsuper *p);
