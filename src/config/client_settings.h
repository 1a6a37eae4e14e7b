/*
 * The variables of a rule about clients, and what they mean as main.cf settings.
 *
 * Names in upper case are qmail-ldap's (client_variables.def); others are parameters that a session
 * may have of its own (session_params.def).
 */
#pragma once

#include "config/config.h"

/* May a session have this parameter of its own? */
bool session_param_is(struct str name);

/*
 * Is it a variable that a rule may have, with a fit value? RC_CONFIG: the words name it and the
 * remedy. RC_NONE: an upper-case name that nobody knows; programs may.
 */
enum rc client_setting_check(struct str name, struct str value, struct why *why) MUST_USE;

/*
 * Variables as overrides for config_overlay(base), in the arena. What a later variable says counts.
 * RC_CONFIG as above.
 */
enum rc client_settings_translate(const struct config *base, const struct config_setting *variables,
                                  size_t n, struct arena *a, struct config_setting **settings,
                                  size_t *n_settings, struct why *why) MUST_USE;
