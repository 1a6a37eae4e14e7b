/* Relay actions; what they share with the local ones. */
#pragma once

#include "opensmtpd/generate.h"

/* The column of master.cf that limits how many sessions a service has; 0: the default. */
struct str process_column(struct generator *g, long limit);
void relay_action(struct generator *g, const struct conf_action *a);
struct str action_service(struct generator *g, const struct conf_action *a);
/*
 * The service that was written to master.cf from begun_at on. False: there is one that does the
 * same (with "besides", what is not said there), which serves this action, too: *service is its
 * name, and what was written is taken back.
 */
bool service_is_new(struct generator *g, struct str *service, size_t begun_at, struct str besides);
void action_lifetime(struct generator *g, const struct conf_action *a, struct str service);
