/*
 * smtp_requiretls_policy: what a request for REQUIRETLS (RFC 8689) means for a next hop. The first
 * word of the list, or the first table that knows the destination, decides; without any it is
 * enforced.
 */
#pragma once

#include "smtp/smtp.h"

enum requiretls { REQUIRETLS_ENFORCE, REQUIRETLS_STARTTLS, REQUIRETLS_TRY, REQUIRETLS_IGNORE };

struct requiretls_policy;

enum rc requiretls_open(struct smtp *s, struct requiretls_policy **out, struct why *why) MUST_USE;

/* host: of the next hop, without brackets and port. Trouble with a table is REQUIRETLS_ENFORCE. */
enum requiretls requiretls_for(struct smtp *s, struct str host, struct arena *a);
