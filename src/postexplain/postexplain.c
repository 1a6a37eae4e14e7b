/*
 * postexplain - what would the SMTP server say to this client, sender and recipient, and why?
 *
 * Runs the evaluator of smtpd without a session, on the configuration, one file of check rules or
 * one table of client instructions, and prints the steps, the rule that decides and the reply. It
 * changes nothing: no delay, no probe, no log, no message.
 */
#include "postexplain/postexplain.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    struct arena *a = arena_new(16 * 1024);
    struct explanation e = {.arena = a, .deferring = -1};
    struct question q = {0};
    struct command c;
    struct why why = {0};
    bool refused;

    command_init(&c, argv[0]);
    question_read(&c, a, argc, argv, &q);
    refused = explain(&c, &q, &e, &why) != RC_OK;
    if (refused)
        explain_error(&q, &e, &why);
    if (!q.json)
        print_text(&e);
    else if (print_json(&e, &why) != RC_OK)
        log_fatal(&c.log, 1, "%s", why.text);
    return fflush(stdout) == 0 && !refused ? 0 : 1;
}
