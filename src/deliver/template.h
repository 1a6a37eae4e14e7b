/*
 * Texts of the notifications that bounce(8) sends: built in, or from bounce_template_file.
 *
 * The file holds "name = <<END", header lines (Charset, From, Subject, Postmaster-Subject; what is
 * left out has its built-in value), an empty line, text, and a line "END". The text may name
 * parameters of main.cf as $name, and delay_warning_time and maximal_queue_lifetime with a unit:
 * $maximal_queue_lifetime_days.
 */
#pragma once

#include "util/arena.h"
#include "util/buf.h"

struct config;
struct log;

enum template_kind {
    TEMPLATE_FAILURE,
    TEMPLATE_DELAY,
    TEMPLATE_SUCCESS,
    TEMPLATE_VERIFY,
    TEMPLATE_KINDS
};

struct template
{
    struct str charset, from, subject, postmaster_subject;
    struct str body; /* whole lines, unexpanded */
};

struct templates {
    struct template of[TEMPLATE_KINDS];
};

void templates_builtin(const struct config *config, struct templates *t);

/*
 * Replace in t what text, of whole lines, defines; t points into text afterwards. A template that
 * cannot be used stays as it was and is a line in warnings. RC_CONFIG: t is untouched. file: for
 * messages.
 */
enum rc templates_parse(struct str text, const char *file, struct templates *t,
                        struct buf *warnings, struct why *why) MUST_USE;

/* Built-in templates and those of bounce_template_file that can be used; a warning for each other.
 * When the file cannot be read, t holds the built-in ones: a sender is told in any case. */
enum rc templates_load(const struct config *config, struct arena *a, const struct log *log,
                       struct templates *t, struct why *why) MUST_USE;

/* The text as it is sent. */
struct str template_expand(const struct config *config, const struct template *t, struct arena *a);

/* As postconf -t shows it, and with expanded text as postconf -b does. RC_CONFIG: there is a $name
 * that means nothing; a notification has nothing in its place. */
void templates_print(struct buf *out, const struct templates *t);
enum rc templates_print_expanded(struct buf *out, const struct config *config,
                                 const struct templates *t, struct why *why) MUST_USE;
