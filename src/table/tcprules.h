/*
 * Rules in the language of tcprules(1): "address:allow,NAME="value",..." lines, in memory with an
 * index, or compiled into a cdb file. Search order as tcpserver(1) has it; IPv6 addresses and
 * networks with a mask are ours.
 */
#pragma once

#include "table/client_rules.h"

enum { TCPRULES_VARIABLES_MAX = 64, TCPRULES_MAX = 1000000 };

/* ---- text ---- */

struct tcprules;

/* Checks every variable; unknown ones in upper case are told once (log may be NULL). RC_CONFIG:
 * "PATH, line N: ...". Everything lives in the arena. */
enum rc tcprules_parse(struct str text, const char *path, const struct log *log, struct arena *a,
                       struct tcprules **out, struct why *why) MUST_USE;

/* The rule has views of the rules' own text. */
enum rc tcprules_find(const struct tcprules *r, const struct client_query *q, struct arena *a,
                      struct client_rule *rule) MUST_USE;

/* In the order of the file; of equal addresses only the first. False: no more. */
bool tcprules_rule(const struct tcprules *r, size_t index, struct arena *a,
                   struct client_rule *rule) MUST_USE;
bool tcprules_want_user(const struct tcprules *r);

/* ---- compiled ---- */

/* The data of a cdb record, and back. RC_TEMP: damaged. */
struct str tcprules_data(struct arena *a, const struct client_rule *rule);
enum rc tcprules_data_parse(struct str data, struct arena *a, struct client_rule *rule,
                            struct why *why) MUST_USE;

/* Key under which a rule is filed: networks whose mask ends at an octet as prefix "10.2.", others
 * "10.64.0.0/10", lower-case names. */
struct str tcprules_key(struct arena *a, struct str address);

/*
 * All keys to try for a client, in this order. lengths: which masks occur (bit arrays of 33 and 129
 * bits); NULL: any.
 */
struct tcprules_masks {
    unsigned char v4[5], v6[17];
};
void tcprules_note_mask(struct tcprules_masks *masks, struct str key);
size_t tcprules_keys(const struct client_query *q, const struct tcprules_masks *masks,
                     struct arena *a, struct str **keys);
