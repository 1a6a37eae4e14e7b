/* encrypt [string]: the hash of a password for a credentials table. */
#ifdef HAVE_CRYPT
#    include <crypt.h>
#endif
#include <stdlib.h>

#include "smtpctl/smtpctl.h"

enum { PASSWORD_MAX = 512 };

#ifdef HAVE_CRYPT
static int print_hash(const char *password)
{
    char setting[CRYPT_GENSALT_OUTPUT_SIZE];
    struct crypt_data *data = calloc(1, sizeof *data);
    const char *hash;

    if (data == NULL || crypt_gensalt_rn("$6$", 0, NULL, 0, setting, sizeof setting) == NULL) {
        fputs("smtpctl: no random bytes for a salt\n", stderr);
        free(data);
        return STATUS_FAILED;
    }
    hash = crypt_rn(password, setting, data, sizeof *data);
    if (hash)
        puts(hash);
    free(data);
    return hash ? STATUS_DONE : STATUS_FAILED;
}

#else
static int print_hash(const char *password)
{
    (void)password;
    fputs("smtpctl: this build has no libcrypt; make one with libcrypt-dev\n", stderr);
    return STATUS_FAILED;
}
#endif

/* Without a string: each line of standard input. */
int do_encrypt(struct smtpctl *s)
{
    char line[PASSWORD_MAX];

    if (s->words[0])
        return print_hash(s->words[0]);
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\r\n")] = '\0';
        if (print_hash(line) != STATUS_DONE)
            return STATUS_FAILED;
    }
    return STATUS_DONE;
}
