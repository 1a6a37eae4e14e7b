/* What MAIL and RCPT share. */
#pragma once

#include "smtpd/smtpd.h"

/* An ESMTP parameter: option is "NAME=VALUE" as sent, value "VALUE", or p == NULL without "=". */
struct parameter {
    const char *name;
    bool (*take)(struct session *s, struct str option, struct str value); /* false: answered */
};

/* Each blank-separated option in rest; false: one was bad, the client was told. */
bool parameters_parse(struct session *s, struct str rest, const struct parameter *known, size_t n);

/* What stands behind "FROM:" or "TO:"; false: it does not stand there. */
bool path_after(struct session *s, struct str arguments, struct str keyword, struct str *path);

/* Address and parameters; logs what is wrong with it. */
enum rc path_parse(struct session *s, struct str path, const char *verb, struct str *address,
                   struct str *rest) MUST_USE;

/* Non-ASCII addresses need SMTPUTF8 when the configuration is strict; answers. */
bool address_is_fit(struct session *s, struct str address);

/* Is DSN hidden from this client? Answers then. */
bool dsn_is_off(struct session *s);
