/*
 * Mail addresses (RFC 5321 4.1.2, RFC 5322 3.4). Internal form: local part unquoted, "@", domain.
 * External form: quoted where RFC 5321 needs it.
 */
#pragma once

#include "util/arena.h"

/* Split at the last '@' of the internal form; domain empty and has_domain false when there is none.
 */
struct address_parts {
    struct str local, domain;
    bool has_domain;
};
struct address_parts address_split(struct str internal);
struct str address_join(struct arena *a, struct str local, struct str domain);

struct str address_quote(struct arena *a, struct str internal); /* RFC 5321, for SMTP and logs */
struct str address_quote_822(struct arena *a, struct str internal); /* RFC 5322, for headers */
struct str
address_unquote(struct arena *a,
                struct str external); /* drops quotes and backslashes of the local part */

/* The path of MAIL FROM / RCPT TO: "<...>" (strict) or what Postfix also takes: no brackets, blanks
   inside, source route (dropped), phrase and comments. utf8: RFC 6531. out: internal form, empty
   for <>. RC_PERM: bad syntax. rest: what follows. */
enum rc address_parse_path(struct str text, bool strict, bool utf8, struct arena *a,
                           struct str *out, struct str *rest, struct why *why) MUST_USE;

/* Cut an address extension: "user+ext" -> user, ext (without delimiter, *delimiter tells which).
   False: none, or user is a name where it must not split (owner-..., -request with delimiter '-',
   double-bounce, mailer-daemon). */
bool address_extension(struct str local, struct str delimiters, struct str *user,
                       struct str *extension);
/* Address without its extension; *extension: with its delimiter ("+ext"), or empty. */
struct str address_strip_extension(struct arena *a, struct str internal, struct str delimiters,
                                   struct str *extension);

/* Does an address fit "user@domain", "@domain", "user" or "*"? '*' may stand in both parts. */
bool address_fits(struct str local, struct str domain, struct str pattern);

bool address_is_atom_byte(char c); /* may stand unquoted in a local part or phrase */
bool address_domain_is_literal(struct str domain); /* [...] */

/* ---- header fields with addresses (RFC 5322 3.4, groups, comments, quoting; obsolete forms
 * accepted) ---- */
struct header_address {
    struct str address; /* internal; view or arena */
    size_t start, end;  /* of the addr-spec in the text, brackets excluded */
};
enum rc address_list_parse(struct str field_body, struct arena *a, struct header_address **list,
                           size_t *n, struct why *why) MUST_USE;
/* What is left of a field body with more tokens (words, quoted strings, comments, special
 * characters) than that: whole addresses only, where there is a comma. A view. */
struct str address_list_limit(struct str field_body, long tokens);

/* Rewrite each address in a field body: change(context, address, arena, &out) RC_NONE keeps it as
 * it stands. All else stays byte for byte. RC_NONE: nothing changed, *out untouched. */
enum rc address_list_rewrite(struct str field_body,
                             enum rc (*change)(void *context, struct str address, struct arena *a,
                                               struct str *out, struct why *why),
                             void *context, struct arena *a, struct str *out,
                             struct why *why) MUST_USE;
