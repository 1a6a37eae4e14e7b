#include "smtp/checks.h"

#include "global/header.h"
#include "global/text.h"

enum { SHOWN_MAX = 60 };

struct check {
    const struct log *log;
    const char *what;
    struct str *text, *before;
    struct str argument; /* behind the action word; in the arena */
    struct arena *arena;
};

static void say(const struct check *c, const char *action)
{
    struct str shown = arena_copy(c->arena, str_head(*c->text, SHOWN_MAX));

    text_printable((char *)shown.p, shown.n, '?', true);
    log_info(c->log, "%s: %s " STR_FMT "%s" STR_FMT, action, c->what, STR_ARG(shown),
             c->argument.n ? ": " : "", STR_ARG(c->argument));
}

static bool is_header_text(const struct check *c, const char *action)
{
    if (c->argument.n && (strcmp(c->what, "header") != 0 || header_name_length(c->argument) > 0))
        return true;
    log_warning(c->log, "bad %s text \"" STR_FMT "\" in %s check", action, STR_ARG(c->argument),
                c->what);
    return false;
}

static int do_keep(struct check *c)
{
    (void)c;
    return CHECK_KEEP;
}

static int do_warn(struct check *c)
{
    say(c, "warning");
    return CHECK_KEEP;
}

static int do_info(struct check *c)
{
    say(c, "info");
    return CHECK_KEEP;
}

static int do_ignore(struct check *c)
{
    (void)c;
    return CHECK_DROP;
}

static int do_strip(struct check *c)
{
    say(c, "strip");
    return CHECK_DROP;
}

static int do_replace(struct check *c)
{
    if (!is_header_text(c, "REPLACE"))
        return CHECK_KEEP;
    say(c, "replace");
    *c->text = c->argument;
    return CHECK_KEEP;
}

static int do_prepend(struct check *c)
{
    if (!is_header_text(c, "PREPEND"))
        return CHECK_KEEP;
    say(c, "prepend");
    *c->before = c->argument;
    return CHECK_KEEP;
}

/* clang-format off */
static const struct {
    struct str word;
    int (*run)(struct check *c);
} actions[] = {
    {STR_INIT("DUNNO"), do_keep},
    {STR_INIT("IGNORE"), do_ignore},
    {STR_INIT("INFO"), do_info},
    {STR_INIT("OK"), do_keep},
    {STR_INIT("PREPEND"), do_prepend},
    {STR_INIT("REPLACE"), do_replace},
    {STR_INIT("STRIP"), do_strip},
    {STR_INIT("WARN"), do_warn},
};
/* clang-format on */

int checks_apply(const struct log *log, struct maps *maps, const char *what, struct str *text,
                 struct str *before, struct arena *a)
{
    struct check c = {.log = log, .what = what, .text = text, .before = before, .arena = a};
    struct str answer, word;
    struct why why;
    enum rc rc = maps_get(maps, *text, a, &answer, &why);
    size_t n = 0;

    if (rc == RC_NONE)
        return CHECK_KEEP;
    if (rc != RC_OK) {
        log_warning(log, "%s checks lookup error: %s", what, why.text);
        return CHECK_TROUBLE;
    }
    answer = str_trim(answer);
    while (n < answer.n && !is_white(answer.p[n]))
        n++;
    word = str_head(answer, n);
    c.argument = str_trim(str_from(answer, n));
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++)
        if (str_eq_nocase(word, actions[i].word))
            return actions[i].run(&c);
    log_warning(log, "unknown or unsupported command in %s check: " STR_FMT, what, STR_ARG(answer));
    return CHECK_KEEP;
}
