/*
 * filterd - runs a filter program for the SMTP server, which may not run programs.
 *
 * The master.cf line says which: [user=NAME[:GROUP]] [chroot=DIRECTORY] argv=COMMAND... One process
 * of the program serves all sessions: their lines go to its standard input, what it says about a
 * session goes back there.
 */
#include "filterd/filterd.h"

static const struct service filterd = {
    .name = "filterd",
    .shape = SERVICE_LOOP,
    .privilege = RUN_AS_ROOT,
    .may = MAY_EXEC,
    .start = filterd_start,
    .confined = program_begin,
    .accepted = client_accepted,
    .drain = filterd_drain,
};

int main(int argc, char **argv)
{
    return service_main(&filterd, argc, argv);
}
