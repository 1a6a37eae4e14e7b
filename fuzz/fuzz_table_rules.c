/*
 * Rule files, and the inline form of tables. The first byte chooses the type. A lookup gives the
 * same answer twice; what an inline table lists, it finds.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "table/table.h"

static const struct table_env env;

static void look_up(struct table *t)
{
    static const char *const keys[] = {"a", "abc", "10.1.2.3", "2001:db8::1", "x@y.example", ""};

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        AUTO_ARENA a = arena_new(512);
        struct str one = STR_NONE, two = STR_NONE;
        enum rc rc = table_get(t, str_of(keys[i]), a, &one, NULL);
        FUZZ_CHECK(table_get(t, str_of(keys[i]), a, &two, NULL) == rc);
        FUZZ_CHECK(str_eq(one, two));
    }
}

static void list(struct table *t)
{
    AUTO_ARENA a = arena_new(512);
    struct str key, value, found;

    for (bool first = true; table_next(t, first, a, &key, &value, NULL) == RC_OK; first = false) {
        if (!str_is_utf8(key))
            continue;
        FUZZ_CHECK(table_get(t, key, a, &found, NULL) == RC_OK);
        FUZZ_CHECK(str_eq(found, value));
    }
}

/* The rules in a file without a name. */
static void from_file(const char *type, struct str text)
{
    int fd = memfd_create("rules", MFD_CLOEXEC);
    char name[64];
    struct table *t;

    FUZZ_CHECK(fd >= 0 && write(fd, text.p, text.n) == (ssize_t)text.n);
    snprintf(name, sizeof name, "%s:/proc/self/fd/%d", type, fd);
    if (table_open(str_of(name), 0, &env, &t, NULL) == RC_OK) {
        look_up(t);
        table_close(t);
    }
    close(fd);
}

static void from_name(const char *type, struct str text)
{
    AUTO_ARENA a = arena_new(512);
    struct table *t;

    if (table_open(arena_printf(a, "%s:" STR_FMT, type, STR_ARG(text)), TABLE_FOLD_KEEP, &env, &t,
                   NULL) != RC_OK)
        return;
    look_up(t);
    if (strcmp(type, "inline") == 0)
        list(t);
    table_close(t);
}

/* {n} and rows of repetitions cost regcomp() time and memory without end; an administrator who
   writes them has himself to blame. */
static bool is_costly(struct str text)
{
    int repetitions = 0;

    for (size_t i = 0; i < text.n; i++)
        repetitions += strchr("*+?", text.p[i]) != NULL;
    return text.n > 200 || repetitions > 5 || str_find(text, STR("{")) >= 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text;

    if (size < 1 || size > 1000)
        return 0;
    text = (struct str){(const char *)data + 1, size - 1};
    switch (data[0]) {
    case 'c': from_file("cidr", text); break;
    case 'C': from_name("cidr", text); break;
    case 'r':
        if (!is_costly(text))
            from_file("regexp", text);
        break;
    case 'i': from_name("inline", text); break;
    case 'p':
        if (str_find(text, STR("randmap")) < 0)
            from_name("pipemap", text);
        break;
    default: break;
    }
    return 0;
}
