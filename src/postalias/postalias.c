/*
 * postalias - make alias databases, and look into them.
 *
 * Makes an indexed table from a file with "name: value, value" lines, updates or lists it, and
 * answers queries the way local delivery would. newaliases is this program for alias_database. See
 * postalias(1).
 */
#include "postalias/postalias.h"

/* The extra entry tells programs that expect it that the database is complete. */
static const struct tool postalias = {
    .name = "postalias",
    .usage = "[-Nfijnoprsuvw] [-c config_dir] [-d key] [-q key] [map_type:]file...",
    .letters = "c:d:fijnNopq:rsuvw",
    .key_suffix = ":",
    .entry = alias_entry,
    .extra_key = STR_INIT("@"),
    .extra_value = STR_INIT("@"),
    .other_key = alias_other_key,
};

int main(int argc, char **argv)
{
    return tool_main(&postalias, argc, argv);
}
