/*
 * Address rewriting and resolution, what trivial-rewrite does, as a library with a cache. One
 * rewriter per process, shared by threads. Made from the configuration of the "rewrite" service
 * (its -o overrides apply).
 */
#pragma once

#include "util/arena.h"
#include "util/log.h"

struct config;
struct rewriter;

enum rewrite_context { REWRITE_LOCAL, REWRITE_REMOTE };

enum resolve_flags { /* Postfix's bits */
                     RESOLVE_FINAL = 1,
                     RESOLVE_ROUTED = 2,
                     RESOLVE_BAD_ADDRESS = 4,
                     RESOLVE_FAILED = 8,
                     RESOLVE_LOCAL = 256,
                     RESOLVE_VIRTUAL_ALIAS = 512,
                     RESOLVE_VIRTUAL_MAILBOX = 1024,
                     RESOLVE_RELAY = 2048,
                     RESOLVE_DEFAULT = 4096,
};

struct resolved {
    struct str transport, nexthop, recipient;
    unsigned flags;
};

enum rc rewriter_new(const struct config *config, const struct log *log, struct rewriter **out,
                     struct why *why) MUST_USE;
void rewriter_free(struct rewriter *r);
bool rewriter_has_changed(struct rewriter *r); /* a table was replaced: make a new one */

/* address: internal form (unquoted local part). out: internal form, in the arena. RC_TEMP: table
   trouble. remote context with empty remote_header_rewrite_domain changes nothing but what Postfix
   changes. */
enum rc rewrite_address(struct rewriter *r, enum rewrite_context context, struct str address,
                        struct arena *a, struct str *out, struct why *why) MUST_USE;

/* verify: use the address_verify_* transports. Trouble with a table sets RESOLVE_FAILED. */
enum rc resolve_address(struct rewriter *r, struct str sender, struct str recipient, bool verify,
                        struct arena *a, struct resolved *out, struct why *why) MUST_USE;

/*
 * What an action of match rules means for a recipient: "transport:nexthop", or a name in
 * recipient_action_maps ("NAME:domain", then "NAME"). RC_NONE: action is empty or "-". A name that
 * is not there any more gives the transport "retry".
 */
enum rc resolve_action(struct rewriter *r, struct str action, struct str recipient, struct arena *a,
                       struct resolved *out, struct why *why) MUST_USE;

/* Is this domain local (mydestination or own address literal)? RC_OK, RC_NONE, RC_TEMP */
enum rc resolve_is_local_domain(struct rewriter *r, struct str domain, struct why *why) MUST_USE;
