/*
 * postmap - make lookup tables, and look into them.
 *
 * Makes an indexed table from a text file with "key value" lines, updates or lists a table, and
 * answers queries the way the mail system would. See postmap(1).
 */
#include "postmap/postmap.h"

static const struct tool postmap = {
    .name = "postmap",
    .usage = "[-bfFhijmnNoprsuUvw] [-c config_dir] [-d key] [-q key] [map_type:]file...",
    .letters = "bc:d:fFhijmnNopq:rsuUvw",
    .key_suffix = "",
    .entry = source_entry,
    .query_message = query_message,
};

int main(int argc, char **argv)
{
    return tool_main(&postmap, argc, argv);
}
