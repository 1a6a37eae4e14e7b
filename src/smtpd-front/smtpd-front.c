/*
 * smtpd-front - the command "smtpd" of two systems.
 *
 * Obtuse smtpd and OpenSMTPD both have a command of this name. The options tell which one is meant:
 * those that only Obtuse smtpd has lead to obtuse-smtpd, everything else to opensmtpd. Nothing else
 * happens here.
 */
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

#include "config/config.h"
#include "config/defaults.h"

#define OF_OBTUSE  "cugLHmspliq"
#define WITH_VALUE "DfTP" /* of OpenSMTPD: what stands behind in the same word is their value */

static bool is_of_obtuse(const char *word)
{
    if (word[0] != '-' || strcmp(word, "-") == 0)
        return false;
    if (strcmp(word, "--setup") == 0)
        return true;
    for (const char *p = word + 1; *p && *p != '-'; p++) {
        if (strchr(OF_OBTUSE, *p))
            return true;
        if (strchr(WITH_VALUE, *p))
            return false;
    }
    return false;
}

/* Of the installation; also when it has no main.cf. */
static const char *command_directory(void)
{
    struct config_request request = {.dir = config_default_dir(), .process_name = "smtpd"};
    struct config *config = NULL;

    return config_load(&request, &config, NULL) == RC_OK ? config->command_directory.p
                                                         : DEF_COMMAND_DIRECTORY;
}

int main(int argc, char **argv)
{
    AUTO_ARENA a = arena_new(1024);
    const char *name = "opensmtpd";
    struct str path;

    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (is_of_obtuse(argv[i]))
            name = "obtuse-smtpd";
    path = arena_printf(a, "%s/%s", command_directory(), name);
    execv(path.p, argv);
    perror(path.p);
    return EX_OSERR;
}
