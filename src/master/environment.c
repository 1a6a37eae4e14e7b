/* The environment of children: what import_environment lets through. */
#include <stdlib.h>
#include <unistd.h>

#include "master/master.h"
#include "util/memory.h"

#define CHILD_PATH "PATH=/usr/bin:/usr/sbin:/bin:/sbin"

static const char *find(char **environment, struct str name)
{
    for (char **e = environment; *e; e++)
        if (str_has_prefix(str_of(*e), name) && (*e)[name.n] == '=')
            return *e;
    return NULL;
}

char **environment_new(const struct config *config, const char *config_directory)
{
    AUTO_ARENA a = arena_new(4096);
    VEC(const char *) list = {0};
    struct str rest = config->import_environment, item;
    char **result;

    vec_add(a, &list, CHILD_PATH);
    vec_add(a, &list, arena_printf(a, "MAIL_CONFIG=%s", config_directory).p);
    while (str_token_braced(&rest, LIST_SEPARATORS, &item)) {
        const char *known;
        if (item.n > 1 && item.p[0] == '{')
            item = str_trim((struct str){item.p + 1, item.n - 2});
        if (str_has_prefix(item, STR("MAIL_CONFIG")))
            continue;
        if (str_index(item, '=') > 0)
            vec_add(a, &list, arena_text(a, item));
        else if ((known = find(environ, item)) != NULL)
            vec_add(a, &list, known);
    }
    result = NEW_ARRAY(char *, list.n + 1);
    for (size_t i = 0; i < list.n; i++)
        result[i] = memory_text(list.v[i]);
    return result;
}

void environment_free(char **environment)
{
    for (char **e = environment; e && *e; e++)
        free(*e);
    free(environment);
}
