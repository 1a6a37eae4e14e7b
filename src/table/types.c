#include "table/driver.h"
#include "util/map.h"

#define DRIVER(type, creates) extern const struct table_driver table_driver_##type;
#define MODULE(type, creates, module, package)
#include "table/types.def"
#undef DRIVER
#undef MODULE

struct type_row {
    const char *type;
    bool creates;
    const struct table_driver *driver; /* NULL: in a module */
    const char *module, *package;
};

static const struct type_row rows[] = {
#define DRIVER(type, creates)                  {#type, creates, &table_driver_##type, NULL, NULL},
#define MODULE(type, creates, module, package) {#type, creates, NULL, #module, package},
#include "table/types.def"
#undef DRIVER
#undef MODULE
};

/* Types that Postfix has and this build has not, with what it would take. */
static const struct {
    const char *type, *remedy;
} absent[] = {
    {"btree", "this build has no Berkeley DB: install libdb-dev, run makedefs and build again"},
    {"cdb", "this build has no cdb: install libcdb-dev, run makedefs and build again"},
    {"hash",
     "this build has no Berkeley DB: install libdb-dev, run makedefs and build again; or use "
     "lmdb"},
    {"lmdb", "this build has no LMDB: install liblmdb-dev, run makedefs and build again"},
    {"pcre", "this build has no PCRE2: install libpcre2-dev, run makedefs and build again"},
    {"sqlite", "this build has no SQLite: install libsqlite3-dev, run makedefs and build again"},
    {"dbm", "use lmdb or cdb"},
    {"sdbm", "use lmdb or cdb"},
    {"nis", "NIS is not supported"},
    {"nisplus", "NIS+ is not supported"},
};

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static const struct type_row *find_row(struct str type)
{
    for (size_t i = 0; i < COUNT(rows); i++)
        if (str_eq(str_of(rows[i].type), type))
            return &rows[i];
    return NULL;
}

static enum rc unknown_type(struct str type, struct why *why)
{
    for (size_t i = 0; i < COUNT(absent); i++)
        if (str_eq(str_of(absent[i].type), type))
            return FAIL(why, RC_CONFIG, "unsupported dictionary type: " STR_FMT " (%s)",
                        STR_ARG(type), absent[i].remedy);
    return FAIL(why, RC_CONFIG, "unsupported dictionary type: " STR_FMT, STR_ARG(type));
}

enum rc driver_find(struct str type, const struct table_env *env, const struct table_driver **out,
                    struct why *why)
{
    const struct type_row *row = find_row(type);

    if (row == NULL)
        return unknown_type(type, why);
    if (row->driver == NULL)
        return driver_load(row->module, row->type, row->package, env, out, why);
    *out = row->driver;
    return RC_OK;
}

const char *const *table_types(void)
{
    static const char *const types[] = {
#define DRIVER(type, creates)                  #type,
#define MODULE(type, creates, module, package) #type,
#include "table/types.def"
#undef DRIVER
#undef MODULE
        NULL};

    return types;
}

bool table_type_is_writable(struct str type)
{
    const struct type_row *row = find_row(type);

    return row && row->creates;
}

static const struct table_driver *compiler_of(struct str type_name)
{
    const struct type_row *row = find_row(str_cut(&type_name, ':'));

    return row && row->driver && row->driver->compile ? row->driver : NULL;
}

bool table_compiles(struct str type_name)
{
    return compiler_of(type_name) != NULL;
}

enum rc table_compile(struct str type_name, const struct table_env *env, struct why *why)
{
    const struct table_driver *driver = compiler_of(type_name);
    struct str name = type_name;

    (void)str_cut(&name, ':');
    if (driver == NULL)
        return FAIL(why, RC_CONFIG, STR_FMT " has no compiled form", STR_ARG(type_name));
    return driver->compile(name, env, why);
}
