#include "postconf/options.h"

#include <unistd.h>

static const char usage[] =
    "usage: postconf [-dfhHjnoqx] [-c dir] [-C class,...] [-o name=value] [name ...] | "
    "postconf [-e] name=value ... | postconf -# name ... | postconf -X name ... | "
    "postconf -M|-F|-P [service[/type[/item]] ...] | postconf -Me|-Fe|-Pe item=value ... | "
    "postconf -M# service/type ... | postconf -MX|-PX item ... | postconf -a|-A|-l|-m | "
    "postconf -b|-t [file] | postconf -T compile-version|run-version|public-key-algorithms";

/* Letters that were given, for the checks of what goes together. */
struct seen {
    const struct log *log;
    bool letters[128];
};

static bool has(const struct seen *s, char letter)
{
    return s->letters[(unsigned char)letter];
}

/* At most one of these. */
static void only_one_of(const struct seen *s, const char *letters)
{
    for (const char *a = letters; *a; a++)
        for (const char *b = a + 1; *b; b++)
            if (has(s, *a) && has(s, *b))
                log_fatal(s->log, 1, "specify one of -%c -%c", *a, *b);
}

/* With this letter, none of those. */
static void excludes(const struct seen *s, char letter, const char *others)
{
    for (const char *b = others; has(s, letter) && *b; b++)
        if (has(s, *b))
            log_fatal(s->log, 1, "with option -%c, do not specify -%c", letter, *b);
}

static void check_letters(const struct seen *s)
{
    only_one_of(s, "aAbFlmMPtT");
    only_one_of(s, "eX#");
    for (const char *show = "dnox"; *show; show++)
        only_one_of(s, (char[]){*show, 'e', '\0'});
    only_one_of(s, "dn");
    only_one_of(s, "do");
    only_one_of(s, "hH");
    excludes(s, 'M', "dhHnC");
    excludes(s, 'F', "dnC#X");
    excludes(s, 'P', "dnC#");
    for (const char *fact = "aAlmtbT"; *fact; fact++)
        excludes(s, *fact, "dnefhHjopxCX#");
}

static unsigned parse_classes(const char *text, const struct log *log)
{
    static const struct {
        struct str name;
        unsigned class;
    } classes[] = {
        {STR_INIT("builtin"), CLASS_BUILTIN},
        {STR_INIT("service"), CLASS_SERVICE},
        {STR_INIT("user"), CLASS_USER},
        {STR_INIT("all"), CLASS_ALL},
    };
    struct str rest = str_of(text), word;
    unsigned found = 0;

    while (str_token(&rest, LIST_SEPARATORS, &word)) {
        unsigned class = 0;
        for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
            if (str_eq_nocase(word, classes[i].name))
                class = classes[i].class;
        if (class == 0)
            log_fatal(log, 1, "unknown -C option value \"" STR_FMT "\" in \"%s\"", STR_ARG(word),
                      text);
        found |= class;
    }
    return found ? found : CLASS_ALL;
}

struct overrides {
    struct config_setting *v;
    size_t n, cap;
};

static void add_override(struct overrides *list, struct arena *a, const char *text,
                         const struct log *log)
{
    struct config_setting s;
    struct why why;

    if (config_parse_setting(str_of(text), &s, &why) != RC_OK)
        log_fatal(log, 1, "invalid parameter override: %s", why.text);
    s.origin = STR("option -o");
    vec_add(a, list, s);
}

static void set_subject(struct options *o, int letter)
{
    static const struct {
        char letter;
        enum subject subject;
    } subjects[] = {
        {'M', MASTER_ENTRIES},    {'F', MASTER_FIELDS_OF},  {'P', MASTER_PARAMETERS},
        {'a', SERVER_SASL_TYPES}, {'A', CLIENT_SASL_TYPES}, {'l', LOCK_TYPES},
        {'m', TABLE_TYPES},       {'t', TEMPLATES},         {'b', TEMPLATES},
        {'T', TLS_FACTS},
    };

    for (size_t i = 0; i < sizeof subjects / sizeof *subjects; i++)
        if (subjects[i].letter == letter)
            o->subject = subjects[i].subject;
    o->all_parameters += letter == 'P';
    o->expand_templates = letter == 'b';
}

static void set_flag(struct options *o, int letter)
{
    switch (letter) {
    case 'd': o->defaults = true; break;
    case 'f': o->folded = true; break;
    case 'h': o->no_names = true; break;
    case 'H': o->only_names = true; break;
    case 'j': o->json = true; break;
    case 'n': o->only_set = true; break;
    case 'q': o->quiet = true; break;
    case 'x': o->expanded = true; break;
    case 'e':
    case 'X':
    case '#': o->action = (char)letter; break;
    default: set_subject(o, letter); break;
    }
}

/* "postconf name=value" means -e. */
static void imply_edit(struct options *o, struct seen *seen)
{
    if (o->subject == MAIN_CF && !o->action)
        for (char **arg = o->args; *arg; arg++)
            if (strchr(*arg, '=')) {
                o->action = 'e';
                seen->letters['e'] = true;
            }
}

void options_read(int argc, char **argv, struct arena *a, const struct log *log, struct options *o)
{
    struct seen seen = {.log = log};
    struct overrides overrides = {0};
    int letter;

    o->classes = CLASS_ALL;
    opterr = 0;
    while ((letter = getopt(argc, argv, "+aAbc:C:deEfFhHjlmMno:pPqtT:vxX#")) > 0) {
        if (letter == '?')
            log_fatal(log, 1, "invalid option -- '%c'; %s", optopt, usage);
        if (letter == 'c')
            o->dir = optarg;
        else if (letter == 'C')
            o->classes = parse_classes(optarg, log);
        else if (letter == 'o')
            add_override(&overrides, a, optarg, log);
        else if (letter == 'T')
            o->tls_mode = optarg;
        letter = letter == 'E' ? 'e' : letter;
        seen.letters[letter] = true;
        set_flag(o, letter);
    }
    o->overrides = overrides.v;
    o->overrides_n = overrides.n;
    o->args = argv + optind;
    imply_edit(o, &seen);
    check_letters(&seen);
}
