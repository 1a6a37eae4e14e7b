/* Exit statuses of mailers (sysexits.h), as smtpfwdd has always understood them. */
#include <sys/wait.h>
#include <sysexits.h>

#include "smtpfwdd/smtpfwdd.h"

static const struct {
    int status;
    struct mailer_result result;
} results[] = {
    {EX_OK, {FATE_SENT, "2.0.0", "forwarded"}},
    {EX_NOUSER, {FATE_FAILED, "5.1.1", "user unknown"}},
    {EX_UNAVAILABLE, {FATE_RETRY, "4.3.0", "service unavailable"}},
    {EX_OSERR, {FATE_RETRY, "4.3.0", "system resource problem"}},
    {EX_OSFILE, {FATE_RETRY, "4.3.0", "critical OS file missing"}},
    {EX_IOERR, {FATE_RETRY, "4.3.0", "input/output error"}},
    {EX_TEMPFAIL, {FATE_RETRY, "4.3.0", "temporary failure"}},
    {EX_CONFIG, {FATE_RETRY, "4.3.5", "configuration error"}},
};

struct mailer_result mailer_result(int status)
{
    if (!WIFEXITED(status))
        return (struct mailer_result){FATE_RETRY, "4.3.0", "mailer died with a signal"};
    for (size_t i = 0; i < sizeof results / sizeof *results; i++)
        if (results[i].status == WEXITSTATUS(status))
            return results[i].result;
    return (struct mailer_result){FATE_FAILED, "5.3.0", "mailer refused the message"};
}

bool address_is_option(struct str address)
{
    return address.n && address.p[0] == '-';
}
