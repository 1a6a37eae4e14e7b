#include "config/functions.h"

#include <dlfcn.h>
#include <stdlib.h>

#include "util/file.h"
#include "util/memory.h"

/* libidn2 is loaded only by a process that meets a name that is not ASCII. */
#define IDN2_LIBRARY "libidn2.so.0"
enum { ENV_FILE_MAX = 64 * 1024 };
enum { IDN2_NONTRANSITIONAL = 8, IDN2_NFC_INPUT = 1 };

static enum rc with_idn2(const char *what, struct str text, bool to_ascii, struct buf *out,
                         struct why *why)
{
    void *library = dlopen(IDN2_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    int (*convert_to)(const char *, char **, int) = NULL;
    int (*convert_from)(const char *, char **, int) = NULL;
    char *result = NULL, *input;
    int failure = -1;

    if (library == NULL)
        return FAIL(why, RC_PERM, "%s of \"" STR_FMT "\": no %s; run: apt-get install libidn2-0",
                    what, STR_ARG(text), IDN2_LIBRARY);
    input = memory_new(text.n + 1);
    memcpy(input, text.p, text.n);
    if (to_ascii) {
        *(void **)&convert_to = dlsym(library, "idn2_to_ascii_8z");
        if (convert_to)
            failure = convert_to(input, &result, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
    } else {
        *(void **)&convert_from = dlsym(library, "idn2_to_unicode_8z8z");
        if (convert_from)
            failure = convert_from(input, &result, 0);
    }
    free(input);
    if (failure == 0)
        buf_add(out, str_of(result));
    free(result);
    dlclose(library);
    if (failure)
        return FAIL(why, RC_PERM, "%s: \"" STR_FMT "\" is no domain name", what, STR_ARG(text));
    return RC_OK;
}

static void add_lower(struct str text, struct buf *out)
{
    for (size_t i = 0; i < text.n; i++)
        buf_addc(out, to_lower(text.p[i]));
}

/* The first line of env/NAME below the configuration directory; nothing when there is no file. */
static enum rc with_env_file(struct str directory, struct str name, struct buf *out,
                             struct why *why)
{
    AUTO_ARENA a = arena_new(512);
    struct str path = arena_printf(a, STR_FMT "/env/" STR_FMT, STR_ARG(directory), STR_ARG(name));
    struct str text = STR_NONE;
    enum rc rc;

    if (name.n == 0 || str_index(name, '/') >= 0 || name.p[0] == '.')
        return FAIL(why, RC_PERM, "env_file: \"" STR_FMT "\" is no name of a file in env",
                    STR_ARG(name));
    rc = file_read(path.p, ENV_FILE_MAX, a, &text, why);
    if (rc == RC_OK)
        buf_add(out, str_rtrim(str_cut(&text, '\n')));
    return rc == RC_NONE ? RC_OK : rc == RC_OK ? RC_OK : RC_PERM;
}

enum rc function_call(struct str name, struct str text, struct str directory, struct buf *out,
                      struct why *why)
{
    if (str_eq(name, STR("domain_to_ascii"))) {
        if (!str_is_ascii(text))
            return with_idn2("domain_to_ascii", text, true, out, why);
        add_lower(text, out);
        return RC_OK;
    }
    if (str_eq(name, STR("domain_to_utf8"))) {
        if (str_find_nocase(text, STR("xn--")) >= 0)
            return with_idn2("domain_to_utf8", text, false, out, why);
        if (str_is_ascii(text))
            add_lower(text, out);
        else
            buf_add(out, text);
        return RC_OK;
    }
    if (str_eq(name, STR("env_file")))
        return with_env_file(directory, text, out, why);
    return FAIL(why, RC_PERM,
                "unknown function " STR_FMT
                "; there are domain_to_ascii, domain_to_utf8 and env_file",
                STR_ARG(name));
}
