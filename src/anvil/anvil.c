/*
 * anvil - count what clients do: connections at once, and connections, messages, recipients, TLS
 * sessions and AUTH commands per anvil_rate_time_unit.
 *
 * smtpd asks over a connection of its own for each SMTP session; when that connection ends, the
 * session counts no more. The largest figures are logged every anvil_status_update_time.
 */
#include "anvil/anvil.h"

static const struct service anvil = {
    .name = "anvil",
    .shape = SERVICE_LOOP,
    .privilege = RUN_AS_MAIL_OWNER,
    .start = anvil_start,
    .accepted = anvil_accepted,
    .drain = anvil_drain,
};

int main(int argc, char **argv)
{
    return service_main(&anvil, argc, argv);
}
