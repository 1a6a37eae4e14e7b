/* The command line of postconf. */
#pragma once

#include "postconf/postconf.h"

/* Fill o from the arguments; ends the program on a usage error. */
void options_read(int argc, char **argv, struct arena *a, const struct log *log, struct options *o);
