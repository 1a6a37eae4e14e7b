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
struct header_field {
    const char *name;
    unsigned flags;
    int type;
};
const struct header_field *header_find(struct str name); /* NULL: not special */

/* Length of the field name when line starts a header field ("Name:" or obsolete "Name :"), else 0.
 */
size_t header_name_length(struct str line);
