/* What the header of a MIME part says about it (RFC 2045 5 and 6), and quoted-printable (6.7). */
#pragma once

#include "util/arena.h"

enum mime_kind { MIME_LEAF, MIME_MULTIPART, MIME_MESSAGE };
enum mime_domain { MIME_7BIT, MIME_8BIT, MIME_BINARY };

struct mime_part {
    enum mime_kind kind;
    enum mime_domain domain;
    bool encoded;        /* quoted-printable, base64, or an unknown encoding */
    struct str encoding; /* as it was written, when encoded */
    bool digest;         /* multipart/digest */
    struct str boundary; /* of a multipart */
};

/* Take what the header says into part. True: it was Content-Transfer-Encoding. */
bool mime_part_header(struct mime_part *part, struct str header, struct arena *a);

struct quoted_printable {
    size_t column; /* in the line being written, which goes on */
    char line[80];
};
/* Encode one line; put() gets lines of at most 76 bytes. more: it goes on in the next call. */
void quoted_printable_line(struct quoted_printable *q, struct str line, bool more,
                           void (*put)(void *context, struct str line, bool more), void *context);
