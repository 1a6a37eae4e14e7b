/* Relay actions; what they share with the local ones. */
#pragma once

#include "opensmtpd/generate.h"

/* The column of master.cf that limits how many sessions a service has; 0: the default. */
struct str process_column(struct generator *g, long limit);
void relay_action(struct generator *g, const struct conf_action *a);
struct str action_service(struct generator *g, const struct conf_action *a);
void action_lifetime(struct generator *g, const struct conf_action *a, struct str service);
