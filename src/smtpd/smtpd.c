/*
 * smtpd - take mail from the network by SMTP.
 *
 * Each session runs on a thread of its own, in straight-line code (session.c): it reads command
 * lines, answers them (commands.c), asks the access rules, and hands messages to the submission
 * library, which writes the queue file in this process. Input: connections of master's sockets, or
 * descriptors that postscreen passes on; standard input with -S.
 */
#include "smtpd/smtpd.h"

#include "service/service.h"

static const struct service smtpd = {
    .name = "smtpd",
    .shape = SERVICE_SESSION,
    .privilege = RUN_AS_MAIL_OWNER,
    .may = MAY_WRITE_QUEUE | MAY_CONNECT,
    .last_words = "421 4.3.0 Error: insufficient memory\r\n",
    .start = smtpd_start,
    .session = smtpd_session,
    .has_changed = smtpd_has_changed,
};

int main(int argc, char **argv)
{
    return service_main(&smtpd, argc, argv);
}
