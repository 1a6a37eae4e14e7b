#include "service/options.h"

#define WITH_VALUE "imnost"

typedef VEC(struct config_setting) settings_list;

static enum rc set_flag(struct service_options *o, char letter, struct why *why)
{
    switch (letter) {
    case 'c': o->chroot = true; break;
    case 'd': o->keep_stdio = true; break;
    case 'D': o->debugger = true; break;
    case 'l': o->single = true; break;
    case 'S': o->on_stdin = true; break;
    case 'u': o->unprivileged = true; break;
    case 'v':
    case 'V': o->verbose++; break;
    case 'z': o->unlimited = true; break;
    default: return FAIL(why, RC_PERM, "unknown option -%c", letter);
    }
    return RC_OK;
}

static enum rc number(char letter, const char *value, long *out, struct why *why)
{
    if (!str_to_long(str_of(value), 1, INT_MAX, out))
        return FAIL(why, RC_PERM, "option -%c: \"%s\" is no positive number", letter, value);
    return RC_OK;
}

static enum rc set_value(struct service_options *o, char letter, char *value, struct arena *a,
                         settings_list *settings, struct why *why)
{
    struct config_setting setting = {0};

    switch (letter) {
    case 'i': return number(letter, value, &o->idle_seconds, why);
    case 'm': return number(letter, value, &o->requests, why);
    case 's': return number(letter, value, &o->listeners, why);
    case 'n': o->name = value; break;
    case 't': o->type = value; break;
    default: TRY(config_parse_setting(str_of(value), &setting, why)); vec_add(a, settings, setting);
    }
    return RC_OK;
}

enum rc service_options_parse(int argc, char **argv, struct arena *a, struct service_options *o,
                              struct why *why)
{
    struct service_options found = {.listeners = 1, .type = "unix"};
    settings_list settings = {0};
    int i = 1;

    for (; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
        if (strcmp(argv[i], "--") == 0) {
            i++;
            break;
        }
        if (strcmp(argv[i], "--check") == 0) {
            found.check = true;
            continue;
        }
        if (strcmp(argv[i], "--inetd") == 0) {
            found.inetd = true;
            continue;
        }
        for (char *p = argv[i] + 1; *p; p++) {
            char letter = *p;
            if (strchr(WITH_VALUE, letter) == NULL) {
                TRY(set_flag(&found, letter, why));
                continue;
            }
            p = p[1] ? p + 1 : i + 1 < argc ? argv[++i] : NULL;
            if (p == NULL)
                return FAIL(why, RC_PERM, "option -%c needs a value", letter);
            TRY(set_value(&found, letter, p, a, &settings, why));
            break;
        }
    }
    found.argc = argc - i;
    found.argv = argv + i;
    found.overrides = settings.v;
    found.overrides_n = settings.n;
    *o = found;
    return RC_OK;
}
