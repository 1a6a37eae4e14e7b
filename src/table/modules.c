/*
 * Loadable drivers: those that need a client library which most processes never use.
 *
 * A module is table-NAME.so with one or more `const struct table_driver table_driver_TYPE`. It
 * calls back into the program that loaded it (util is exported from every program), so it belongs
 * to the same build. It stays loaded: dlopen counts, and a driver has no state of its own.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

#include "table/dbconf.h"
#include "table/driver.h"
#include "table/replace.h"
#include "table/rules.h"
#include "table/settings.h"
#include "util/arena.h"

/* What only modules call: named here, so that it is linked into every program. */
__attribute__((used)) static void (*const for_modules[])(void) = {
    (void (*)(void))replacement_begin,
    (void (*)(void))rules_open,
    (void (*)(void))dbconf_open,
    (void (*)(void))dbquery_new,
};

static bool readable(struct str directory, const char *file, struct arena *a, char **path)
{
    if (directory.n == 0 || str_eq(directory, STR("no")))
        return false;
    *path = arena_text(a, arena_printf(a, STR_FMT "/%s", STR_ARG(directory), file));
    return access(*path, R_OK) == 0;
}

/* Beside the program: build/bin/../modules, for programs that run from the build tree. */
static struct str build_directory(struct arena *a)
{
    char *path = arena_alloc(a, 4096);
    ssize_t n = readlink("/proc/self/exe", path, 4000);
    struct str program = {path, n > 0 ? (size_t)n : 0};
    ssize_t slash = str_rindex(program, '/');

    if (slash < 0)
        return STR_NONE;
    return arena_printf(a, STR_FMT "/../modules", (int)slash, path);
}

bool module_find(const char *file, const struct table_env *env, struct arena *a, char **path)
{
    return readable(str_of(secure_getenv("POSTERN_MODULES")), file, a, path) ||
           readable(settings_shlib_directory(env), file, a, path) ||
           readable(settings_daemon_directory(env), file, a, path) ||
           readable(build_directory(a), file, a, path);
}

enum rc driver_load(const char *module, const char *type, const char *package,
                    const struct table_env *env, const struct table_driver **out, struct why *why)
{
    AUTO_ARENA a = arena_new(1024);
    const char *file = arena_printf(a, "table-%s.so", module).p;
    char *path, *symbol;
    void *handle;

    if (!module_find(file, env, a, &path))
        return FAIL(why, RC_CONFIG,
                    "table type %s: module table-%s.so is not in shlib_directory or "
                    "daemon_directory; install Postern's table modules (make install)",
                    type, module);
    handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (handle == NULL)
        return FAIL(why, RC_CONFIG, "table type %s: %s; it needs the package %s", type, dlerror(),
                    package);
    symbol = arena_text(a, arena_printf(a, "table_driver_%s", type));
    *out = dlsym(handle, symbol);
    if (*out == NULL)
        return FAIL(why, RC_CONFIG, "%s: no symbol %s: not a table module of this version", path,
                    symbol);
    return RC_OK;
}
