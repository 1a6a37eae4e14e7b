/*
 * Check rules, the rule language of Obtuse smtpd: check_rules(5).
 *
 * A file is parsed whole or refused whole, with file and line. What was parsed is read-only:
 * threads share it. For 10,000 rules only those are looked at whose patterns can fit the client and
 * the addresses at hand (util/candidates.h).
 */
#pragma once

#include "access/access.h"

struct rules;

enum rule_action {
    RULE_ALLOW,
    RULE_DENY,
    RULE_NOTO,
    RULE_DENY_DELAY,
    RULE_NOTO_DELAY,
    RULE_DEBUG,
};

enum {
    RULES_LINE_MAX = 8192, /* of a logical line */
    RULES_TOKEN_MAX = 512,
    RULES_MAX = 65536,
    RULES_EXCEPT_MAX = 64,
    RULES_FILE_MAX = 64 * 1024 * 1024,
};

/* RC_CONFIG: "FILE, line N: TEXT; REMEDY". path is for messages only. */
enum rc rules_parse(const char *path, struct str text, struct rules **out,
                    struct why *why) MUST_USE;
void rules_free(struct rules *r); /* NULL is fine */
size_t rules_count(const struct rules *r);
bool rules_ask_ident(const struct rules *r); /* does one of them look at the user of the client? */

/* The text of a reply, as the fifth field of a rule has it. RC_CONFIG: words without place. */
enum rc rules_message_check(struct str message, struct why *why) MUST_USE;

struct rule_hit {
    enum rule_action action;
    long line;
    struct str message; /* empty: the default one */
};

/*
 * The first rule that matches client, sender and recipient of c (recipient.p == NULL: none, or
 * several). RC_NONE: no rule. Other codes: something could not be found out; words say what.
 */
enum rc rules_find(const struct rules *r, struct access_context *c, struct rule_hit *hit,
                   struct why *why) MUST_USE;

/* A message with its % codes replaced, in c->arena: "550 text". */
struct str rules_expand(struct access_context *c, struct str message);

/* ---- a file that a restriction names ---- */

struct rules_file;

/* Read and parse. RC_CONFIG, or RC_TEMP when it cannot be read: words have path and remedy. */
enum rc rules_file_open(struct str path, const struct log *log, struct rules_file **out,
                        struct why *why) MUST_USE;
void rules_file_close(struct rules_file *f);
const char *rules_file_path(const struct rules_file *f);

/*
 * The rules as they stand now; give them back with rules_file_done(). A file that has changed is
 * read again, at most once a second; when it is wrong the old rules stay, and the error is logged.
 */
const struct rules *rules_file_use(struct rules_file *f);
void rules_file_done(struct rules_file *f, const struct rules *r);

/* It has changed, and cannot be read from here (chroot, rights): the process should end soon. */
bool rules_file_has_changed(struct rules_file *f);
