/*
 * master - start, watch and restart the services of master.cf.
 *
 * It owns the listening sockets: a connection that finds no process waits in the backlog until one
 * runs. It reads and checks the configuration at start and reload; services see only what it has
 * checked. It has no part in mail itself.
 */
#include "master/master.h"

#include "util/memory.h"

int main(int argc, char **argv)
{
    master_main(NEW(struct master), argc, argv);
}
