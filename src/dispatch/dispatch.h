/*
 * Match rules: which action takes a recipient, decided by client, user, greeting, sender, recipient
 * and listener together. The first rule that holds decides; none: rejected. See match_rules(5).
 * However many rules there are, only those are looked at whose lists can hold (util/candidates.h).
 *
 * An action is a name that is recorded with the recipient in the queue file; what it means is
 * looked up at each delivery attempt (recipient_action_maps). struct dispatch is read-only after
 * dispatch_open(); threads share it.
 */
#pragma once

#include "table/table.h"
#include "util/net.h"

struct dispatch;

struct dispatch_facts {
    bool is_submission;                 /* from this machine: sendmail(1), a forward, a bounce */
    struct addr client;                 /* not looked at for a submission */
    struct str client_name;             /* reverse name; "" or "unknown": none */
    bool name_is_confirmed;             /* forward and reverse agree */
    struct str user;                    /* p == NULL: not authenticated */
    struct str helo, sender, recipient; /* internal form */
    struct str domain;                  /* of addresses without one */
    struct str tag;
    bool tls;
    struct str delimiters; /* recipient_delimiter */
};

struct dispatch_answer {
    bool accepted;
    struct str action; /* accepted: its name */
    struct str reply;  /* else: "550 5.7.1 ...", without the address */
    const char *file;
    int line; /* of the rule; 0: none held */
};

/* RC_CONFIG: file, line and what is wrong. */
enum rc dispatch_open(const char *path, const struct table_env *env, struct dispatch **out,
                      struct why *why) MUST_USE;
void dispatch_close(struct dispatch *d);
/* The file was replaced by another one that is in order; else the rules stay in force. */
bool dispatch_has_changed(struct dispatch *d);

/* RC_TEMP: a table could not be asked. Results live in the arena or the dispatch. */
enum rc dispatch_decide(const struct dispatch *d, const struct dispatch_facts *f, struct arena *a,
                        struct dispatch_answer *out, struct why *why) MUST_USE;

/*
 * The same, and whether the action knows the recipient: aliases, virtual addresses, users. "error:"
 * entries of aliases become the reply.
 */
enum rc dispatch_accepts(const struct dispatch *d, const struct dispatch_facts *f, struct arena *a,
                         struct dispatch_answer *out, struct why *why) MUST_USE;

/* For fuzzing and tests: from a text, without opening tables. */
enum rc dispatch_parse(struct str text, const char *path, const struct table_env *env,
                       struct dispatch **out, struct why *why) MUST_USE;
