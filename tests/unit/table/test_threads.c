/* Many threads share a table whose file is written anew: each answer is the old one or the new one.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "table/table.h"
#include "unit/unit.h"
#include "util/clock.h"
#include "util/file.h"

enum { THREADS = 4, LIMIT_MS = 15000 };

static struct table_env env;

struct shared {
    struct table *table;
    atomic_int wrong, seen_new, lookups;
    atomic_bool stop;
};

static void *look(void *context)
{
    struct shared *s = context;
    AUTO_ARENA a = arena_new(1024);

    while (!atomic_load(&s->stop)) {
        struct str value = STR_NONE;
        struct why why;
        enum rc rc = table_get(s->table, STR("Key"), a, &value, &why);
        if (rc == RC_OK && str_eq(value, STR("new")))
            s->seen_new++;
        else if (rc != RC_OK || !str_eq(value, STR("old")))
            s->wrong++;
        if (table_get(s->table, STR("none"), a, &value, &why) != RC_NONE)
            s->wrong++;
        s->lookups++;
        arena_reset(a);
        usleep(1000);
    }
    return NULL;
}

static void write_text(const char *path, const char *type, const char *value)
{
    char text[256];

    snprintf(text, sizeof text, strcmp(type, "regexp") == 0 ? "/key/ %s\n" : "key %s\n", value);
    assert_int_equal(file_replace(path, str_of(text), 0644, NULL), RC_OK);
}

static void write_table(const char *path, const char *type, const char *value)
{
    char name[256];
    struct table *t;
    struct why why = {0};

    if (strcmp(type, "texthash") == 0 || strcmp(type, "regexp") == 0) {
        write_text(path, type, value);
        return;
    }
    snprintf(name, sizeof name, "%s:%s", type, path);
    if (table_open(str_of(name), TABLE_CREATE | TABLE_STRICT, &env, &t, &why) != RC_OK)
        fail_msg("%s: %s", name, why.text);
    assert_int_equal(table_put(t, STR("key"), str_of(value), &why), RC_OK);
    assert_int_equal(table_commit(t, &why), RC_OK);
    table_close(t);
}

static void begin(struct shared *s, const char *directory, const char *type, pthread_t *threads)
{
    char path[100], name[120];
    struct why why = {0};

    snprintf(path, sizeof path, "%s/%s", directory, type);
    snprintf(name, sizeof name, "%s:%s", type, path);
    write_table(path, type, "old");
    if (table_open(str_of(name), 0, &env, &s->table, &why) != RC_OK)
        fail_msg("%s: %s", name, why.text);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, look, s), 0);
    usleep(20000);
    write_table(path, type, "new");
}

static void end(struct shared *s, pthread_t *threads)
{
    long limit = clock_ms() + LIMIT_MS;

    while (s->seen_new < THREADS && clock_ms() < limit)
        usleep(10000);
    s->stop = true;
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    if (s->wrong || s->seen_new == 0)
        fail_msg(STR_FMT ": %d lookups, %d wrong, %d new", STR_ARG(table_name(s->table)),
                 s->lookups, s->wrong, s->seen_new);
    assert_false(table_has_changed(s->table));
    table_close(s->table);
}

static bool has_type(const char *type)
{
    for (const char *const *t = table_types(); *t; t++)
        if (strcmp(*t, type) == 0)
            return true;
    return false;
}

static void test_rewritten(void **state)
{
    static const char *const types[] = {"texthash", "regexp", "lmdb", "hash", "btree", "cdb"};
    struct shared shared[COUNT(types)] = {0};
    pthread_t threads[COUNT(types)][THREADS];
    char directory[] = "/tmp/test_threads.XXXXXX", command[64];

    (void)state;
    assert_non_null(mkdtemp(directory));
    for (size_t i = 0; i < COUNT(types); i++)
        if (has_type(types[i]))
            begin(&shared[i], directory, types[i], threads[i]);
    for (size_t i = 0; i < COUNT(types); i++)
        if (has_type(types[i]))
            end(&shared[i], threads[i]);
    snprintf(command, sizeof command, "rm -rf %s", directory);
    assert_int_equal(system(command), 0);
}

/* A table that is not there yet works when it comes. */
static void test_comes_later(void **state)
{
    char directory[] = "/tmp/test_threads.XXXXXX", name[100], path[64];
    AUTO_ARENA a = arena_new(512);
    struct table *t;
    struct str value;
    struct why why = {0};
    long limit = clock_ms() + LIMIT_MS;

    (void)state;
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/t", directory);
    snprintf(name, sizeof name, "texthash:%s", path);
    assert_int_equal(table_open(str_of(name), 0, &env, &t, &why), RC_OK);
    assert_int_equal(table_get(t, STR("key"), a, &value, &why), RC_TEMP);
    write_text(path, "texthash", "new");
    while (table_get(t, STR("key"), a, &value, &why) != RC_OK && clock_ms() < limit)
        usleep(100000);
    assert_str(value, "new");
    table_close(t);
    unlink(path);
    rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rewritten),
        cmocka_unit_test(test_comes_later),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
