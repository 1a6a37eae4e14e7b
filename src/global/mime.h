/*
 * MIME state of a message while its lines pass (RFC 2045, 2046): finds header ends, nested parts,
 * boundaries, encodings; for header and body checks, 8-bit detection, and 8-bit to quoted-printable
 * conversion (smtp client).
 */
#pragma once

#include "util/arena.h"

enum mime_header_class { MIME_HEADER_PRIMARY, MIME_HEADER_MIME, MIME_HEADER_NESTED };
enum mime_error {
    MIME_OK = 0,
    MIME_NESTING = 1,
    MIME_TRUNCATED_HEADER = 2,
    MIME_8BIT_IN_HEADER = 4,
    MIME_8BIT_IN_7BIT_BODY = 8,
    MIME_ENCODING_DOMAIN = 16
};

struct mime_options {
    bool parse_nested; /* not disable_mime_input_processing */
    bool strict_8bitmime, strict_8bitmime_body, strict_7bit_headers, strict_encoding_domain;
    bool downgrade; /* convert 8-bit content to quoted-printable and fix the headers */
    long nesting_limit, boundary_limit, header_size_limit;
};

struct mime_events { /* all optional; text is a logical header (with "\n" between folded lines) or
                        one body line */
    void (*header)(void *context, enum mime_header_class class, struct str header);
    /* The primary header ends without an empty line; line is what comes instead. The empty line
       that is missing is put in. */
    void (*unterminated)(void *context, struct str line);
    void (*end_of_header)(void *context); /* of the primary header */
    void (*body)(void *context, struct str line, bool more);
    void (*end)(void *context);
    void (*error)(void *context, enum mime_error error, struct str text); /* text: where it is */
};

struct mime_state;
struct mime_state *mime_new(struct arena *a, const struct mime_options *o,
                            const struct mime_events *e, void *context);
/* Feed content line by line (more: the line continues); returns the errors so far as bits. Header
 * lines beyond header_size_limit are cut. The white space of "Name :" is dropped. */
unsigned mime_line(struct mime_state *m, struct str line, bool more);
unsigned mime_end(struct mime_state *m);
/* For the body event: bytes of this MIME part that came before this line. */
size_t mime_part_offset(const struct mime_state *m);
const char *mime_error_text(unsigned error); /* of the lowest bit */
const char *mime_error_dsn(unsigned error);
