#include "sasl/module.h"

#include <dlfcn.h>

#include "sasl/login.h"
#include "sasl/patience.h"

/* What only modules call: named here, so that it is linked into every program that loads one. */
__attribute__((used)) static void (*const for_modules[])(void) = {
    (void (*)(void))login_decode,
    (void (*)(void))login_mechanism_is_safe,
    (void (*)(void))patience_new,
};

enum rc login_module_load(const char *module, const char *symbol, const struct table_env *env,
                          const void **out, struct why *why)
{
    AUTO_ARENA a = arena_new(1024);
    const char *file = arena_printf(a, "sasl-%s.so", module).p;
    void *handle;
    char *path;

    if (!module_find(file, env, a, &path))
        return FAIL(why, RC_CONFIG,
                    "module %s is not in shlib_directory or daemon_directory; build Postern with "
                    "Cyrus SASL (apt-get install libsasl2-dev) and install its modules",
                    file);
    handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (handle == NULL)
        return FAIL(why, RC_CONFIG, "%s; it needs the package libsasl2-2", dlerror());
    *out = dlsym(handle, symbol);
    if (*out == NULL)
        return FAIL(why, RC_CONFIG, "%s: no symbol %s: not a SASL module of this version", path,
                    symbol);
    return RC_OK;
}
