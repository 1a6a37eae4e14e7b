/* The user of the client host, by the identification protocol (RFC 1413). */
#pragma once

#include "access/access.h"

/*
 * The name in lower case; empty when the host does not tell, or check_rules_ident_timeout is 0. The
 * host is asked once in a session, when this is called first, within that time.
 */
struct str ident_user(struct access_context *c);

/* The answer to "SERVER-PORT-OF-THE-OTHER , OURS": fills user. False: it names nobody. */
bool ident_parse(struct str line, unsigned their_port, unsigned our_port,
                 char user[ACCESS_USER_SIZE]);
