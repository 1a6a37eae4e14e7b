/*
 * verify - know which addresses can be delivered to.
 *
 * smtpd asks about an address and is answered at once from the cache; when nothing or nothing
 * fresh is known, a probe goes out: a message without content, which the delivery agents follow to
 * the last step but one. They tell the outcome here.
 */
#include "verify/verify.h"

static const struct service verify = {
    .name = "verify",
    .shape = SERVICE_LOOP,
    .privilege = RUN_AS_MAIL_OWNER,
    .may = MAY_WRITE_DATA,
    .start = verify_start,
    .accepted = verify_accepted,
};

int main(int argc, char **argv)
{
    return service_main(&verify, argc, argv);
}
