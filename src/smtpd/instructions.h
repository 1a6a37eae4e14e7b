/* Sessions with settings of their own: per-client instructions at work in smtpd. */
#pragma once

#include "access/instructions.h"
#include "config/overlays.h"

struct session;
struct smtpd;

enum gate { GATE_OPEN, GATE_DENY, GATE_UNAVAILABLE, GATE_RUN };

/* What a session has because of the rule for its client. */
struct session_rule {
    enum gate gate;
    bool is_told;                     /* GATE_UNAVAILABLE: others had this trouble just now */
    struct instruction instruction;   /* table.n == 0: no rule */
    const struct overlay *overlay;    /* NULL: no settings */
    VEC(const struct overlay *) kept; /* of rules before XCLIENT: TLS began with them */
};

/*
 * At start: open smtpd_client_instruction_maps and try the settings of the rules, so that a mistake
 * shows now. Does nothing when the parameter is empty.
 */
enum rc instructions_start(struct smtpd *s, struct why *why) MUST_USE;

/* The client is known (again): look for its rule; the session goes on with those settings. */
void instructions_apply(struct session *s);

/* Before the greeting: false when the rule lets nobody in; answered then. */
bool instructions_admit(struct session *s);

void instructions_release(struct session *s); /* at the end, behind that of TLS */

/* Does the rule set this variable, or take it away? */
bool instructions_decide_variable(const struct session *s, struct str name);

/* start.c: what depends on the configuration, made for an overlay of base. */
enum rc smtpd_overlay_make(void *base, const struct config *config, void **state, struct why *why);
void smtpd_overlay_unmake(void *base, void *state);
