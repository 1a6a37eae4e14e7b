/* Refusal of a configuration that would let everybody send anywhere. */
#pragma once

#include "config/config.h"

/* Of main.cf: smtpd_relay_client, mynetworks, and tables of networks that permit relaying. */
enum rc open_relay_check(const struct config *c, struct why *why) MUST_USE;

/* "refusing to run as open relay: WHAT at FILE:LINE; REMEDY". line: 0: not known. */
enum rc open_relay_refuse(struct str what, struct str file, long line, const char *remedy,
                          struct why *why) MUST_USE;
