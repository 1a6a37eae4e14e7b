/* The back ends of the server's side that are no modules. */
#pragma once

#include "sasl/server.h"

/* Dovecot's authentication protocol, version 1.x, over "inet:host:port", "unix:path" or "path". */
extern const struct login_server_type login_server_dovecot;

/* Users in a lookup table: smtpd_sasl_path = type:name. See user.h for its entries. */
extern const struct login_server_type login_server_file;
