/*
 * $name expansion, the same for main.cf values and for templates (reply texts, commands, paths).
 *
 *   $name ${name} $(name)                value, empty when undefined; $$ is one $
 *   ${name?text} ${name?{text}}          text when the value is not empty
 *   ${name:text} ${name:{text}}          text when it is empty
 *   ${name?{one}:{other}}
 *   ${{x} OP {y}?{one}:{other}}          OP: == != < <= >= >, numbers as numbers; with "level"
 * behind it as compatibility levels
 *   ${function{text}}                    domain_to_ascii, domain_to_utf8, env_file
 *
 * Texts are expanded in turn, and only the branch that is taken.
 */
#pragma once

#include "util/arena.h"
#include "util/buf.h"

struct expander {
    /*
     * The finished value of a name. RC_NONE: undefined, reads as empty. Anything else but RC_OK
     * ends the expansion.
     */
    enum rc (*lookup)(void *context, struct str name, struct str *value, struct why *why);
    void *context;
};

enum { EXPAND_MAX = 1 << 20, EXPAND_DEPTH = 100 };

/* Append the expansion of text. RC_PERM: malformed, the words show where. */
enum rc expand_text(const struct expander *e, struct str text, struct buf *out,
                    struct why *why) MUST_USE;

/* Does the text hold anything to expand? */
bool expand_is_needed(struct str text);

/* Call found() for each name that the text mentions in any branch. Malformed texts are fine. */
void expand_names(struct str text, void (*found)(void *context, struct str name), void *context);

/* Order of two compatibility levels "3.6", "3.11.2". RC_PERM when one is malformed. */
enum rc level_compare(struct str a, struct str b, int *order, struct why *why) MUST_USE;
