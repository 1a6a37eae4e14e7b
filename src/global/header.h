/* Header fields (RFC 5322 2.2, 3.6): which are known, what they hold. Table: header_fields.def. */
#pragma once

#include "util/arena.h"

enum header_flags {
    HEADER_SENDER = 1,
    HEADER_RECIPIENT = 2,
    HEADER_RESENT = 4,
    HEADER_EXTRACT = 8 /* sendmail -t */,
    HEADER_MIME = 16,
    HEADER_ONCE = 32
};
enum header_type {
    HEADER_IS_OTHER,
    HEADER_IS_APPARENTLY_TO,
    HEADER_IS_BCC,
    HEADER_IS_CC,
    HEADER_IS_CONTENT_ENCODING,
    HEADER_IS_CONTENT_LENGTH,
    HEADER_IS_CONTENT_TYPE,
    HEADER_IS_DATE,
    HEADER_IS_DELIVERED_TO,
    HEADER_IS_ERRORS_TO,
    HEADER_IS_FROM,
    HEADER_IS_MESSAGE_ID,
    HEADER_IS_RECEIVED,
    HEADER_IS_REPLY_TO,
    HEADER_IS_REQUIRE_TLS,
    HEADER_IS_RESENT_BCC,
    HEADER_IS_RESENT_CC,
    HEADER_IS_RESENT_DATE,
    HEADER_IS_RESENT_FROM,
    HEADER_IS_RESENT_MESSAGE_ID,
    HEADER_IS_RESENT_TO,
    HEADER_IS_RETURN_PATH,
    HEADER_IS_RETURN_RECEIPT_TO,
    HEADER_IS_SENDER,
    HEADER_IS_TLS_REQUIRED,
    HEADER_IS_TO,
};
struct header_field {
    const char *name;
    unsigned flags;
    int type; /* enum header_type */
};
const struct header_field *header_find(struct str name); /* NULL: not special */

/* Length of the field name when line starts a header field ("Name:" or obsolete "Name :"), else 0.
 */
size_t header_name_length(struct str line);

/* What stands behind the first colon, without blanks around it. */
struct str header_body(struct str header);
