#include "sasl/prep.h"

#include <dlfcn.h>
#include <stdlib.h>

#include "sasl/login.h"

#define LIBRARY "libidn.so.12"

typedef int prepare_profile(const char *in, char **out, const char *profile, int flags);

enum { NO_UNASSIGNED = 4 }; /* Stringprep_profile_flags */

static void *library_open(void)
{
    return dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
}

void prep_load(void)
{
    void *library = library_open();

    if (library)
        dlclose(library); /* it stays */
}

static bool is_ascii(struct str text)
{
    for (size_t i = 0; i < text.n; i++)
        if ((unsigned char)text.p[i] >= 0x80)
            return false;
    return true;
}

static struct str prepared(prepare_profile *prepare, struct str text, struct arena *a)
{
    char *in = arena_text(a, text), *out = NULL;
    struct str result = text;

    if (strlen(in) == text.n && prepare(in, &out, "SASLprep", NO_UNASSIGNED) == 0 && out) {
        result = arena_copy(a, str_of(out));
        login_forget(out, result.n);
    }
    login_forget(in, text.n);
    free(out);
    return result;
}

struct str prep_password(struct str text, struct arena *a)
{
    prepare_profile *prepare = NULL;
    void *library;

    if (is_ascii(text))
        return text;
    library = library_open();
    if (library == NULL)
        return text;
    *(void **)&prepare = dlsym(library, "stringprep_profile");
    if (prepare)
        text = prepared(prepare, text, a);
    dlclose(library);
    return text;
}
