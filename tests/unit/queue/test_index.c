/* The queue index: what was put is found, due in order, listed; and it follows the files. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "queue/index.h"
#include "unit/unit.h"
#include "util/memory.h"

struct fixture {
    struct queue q;
    char directory[64];
    struct queue_index *ix;
};

static struct queue_index *open_index(struct fixture *f, bool writer)
{
    struct queue_index *ix = NULL;
    struct why why = {0};

    if (queue_index_open(&f->q, str_of(f->directory), writer, &ix, &why) != RC_OK)
        fail_msg("%s", why.text);
    return ix;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    strcpy(f->directory, "/tmp/index-test.XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    f->q = (struct queue){.dir = open(f->directory, O_RDONLY | O_DIRECTORY),
                          .directory = str_of(f->directory),
                          .hashed = STR("deferred, defer"),
                          .hash_depth = 1};
    mkdirat(f->q.dir, "deferred", 0700);
    *state = f;
#ifndef HAVE_LMDB
    skip();
#endif
    f->ix = open_index(f, true);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char command[128];

    queue_index_close(f->ix);
    close(f->q.dir);
    snprintf(command, sizeof command, "rm -rf %s", f->directory);
    free(f);
    return system(command);
}

static struct queue_entry make_entry(struct arena *a, long number, size_t n)
{
    struct queue_entry e = {.queue_name = STR("deferred"),
                            .queue_id = arena_printf(a, "%05lX%lX", number % 0xfffff, number),
                            .arrival = 1000 + number,
                            .size = number,
                            .sender = STR("s@x.test"),
                            .recipients = arena_array(a, struct listed_recipient, n),
                            .n_recipients = n};

    for (size_t i = 0; i < n; i++)
        e.recipients[i] = (struct listed_recipient){
            .original = STR("o@x.test"),
            .address = arena_printf(a, "r%zu@Site%ld.test", i, number % 3),
            .log_class = STR("defer"),
            .reason = STR("connect: refused")};
    return e;
}

static void put(struct fixture *f, long number, size_t n, long when)
{
    AUTO_ARENA a = arena_new(4096);
    struct queue_entry e = make_entry(a, number, n);
    struct why why = {0};

    if (queue_index_put(f->ix, &e, when, &why) != RC_OK)
        fail_msg("%s", why.text);
}

/* An empty file with that id, due then; a real one would have records. */
static void make_file(struct fixture *f, long number, long when)
{
    char id[32], path[QUEUE_PATH_SIZE];
    struct timespec times[2] = {{when, 0}, {when, 0}};
    int fd;

    snprintf(id, sizeof id, "%05lX%lX", number % 0xfffff, number);
    queue_path(&f->q, STR("deferred"), str_of(id), path);
    assert_int_equal(queue_make_directories(&f->q, path, NULL), RC_OK);
    fd = openat(f->q.dir, path, O_WRONLY | O_CREAT, 0700);
    assert_true(fd >= 0);
    futimens(fd, times);
    close(fd);
}

static size_t take(struct fixture *f, long now, size_t max, long *next)
{
    AUTO_ARENA a = arena_new(4096);
    struct why why = {0};
    struct str *ids;
    size_t n = 0;

    if (queue_index_take_due(f->ix, now, max, a, &ids, &n, next, &why) != RC_OK)
        fail_msg("%s", why.text);
    return n;
}

static void test_due_in_order(void **state)
{
    struct fixture *f = *state;
    struct why why;
    long next;

    for (long i = 1; i <= 100; i++)
        put(f, i, 1, 5000 - i * 10);
    assert_int_equal(take(f, 3000, 10, &next), 0);
    assert_int_equal(next, 4000);
    assert_int_equal(take(f, 4090, 1000, &next), 10);
    assert_int_equal(next, 4100);
    assert_int_equal(take(f, 9999, 50, &next), 50);
    assert_int_equal(next, 4600);
    put(f, 100, 1, 7000); /* deferred again */
    assert_int_equal(queue_index_remove(f->ix, STR("000011"), &why), RC_OK);
    assert_int_equal(queue_index_remove(f->ix, STR("000011"), &why), RC_OK);
    assert_int_equal(queue_index_make_all_due(f->ix, 1, &why), RC_OK);
    assert_int_equal(take(f, 1, 1000, &next), 40);
    assert_int_equal(next, 0);
}

struct seen {
    size_t messages, recipients;
};

static bool count(void *context, const struct queue_entry *e)
{
    struct seen *s = context;

    s->messages++;
    s->recipients += e->n_recipients;
    assert_str(e->sender, "s@x.test");
    if (e->n_recipients)
        assert_str(e->recipients[0].reason, "connect: refused");
    return true;
}

static void test_list_and_sites(void **state)
{
    struct fixture *f = *state;
    AUTO_ARENA a = arena_new(4096);
    struct queue_index *reader;
    struct seen seen = {0};
    struct why why = {0};
    struct str *ids;
    struct queue_entry e;
    size_t n;
    long when;

    for (long i = 1; i <= 1000; i++)
        put(f, i, i % 10 == 0 ? 3 : 1, i);
    queue_index_close(f->ix); /* one environment per process */
    f->ix = NULL;
    reader = open_index(f, false);
    assert_int_equal(queue_index_list(reader, count, &seen, &why), RC_OK);
    assert_int_equal(seen.messages, 1000);
    assert_int_equal(seen.recipients, 1200);
    assert_int_equal(queue_index_site(reader, STR("site0.TEST"), a, &ids, &n, &why), RC_OK);
    assert_int_equal(n, 333);
    assert_int_equal(queue_index_site(reader, STR("site"), a, &ids, &n, &why), RC_OK);
    assert_int_equal(n, 0);
    assert_int_equal(queue_index_get(reader, STR("0000A0A"), a, &e, &when, &why), RC_NONE);
    assert_int_equal(queue_index_get(reader, STR("0000AA"), a, &e, &when, &why), RC_OK);
    assert_int_equal(when, 10);
    assert_int_equal(e.arrival, 1010);
    queue_index_close(reader);
}

static size_t listed(struct fixture *f)
{
    struct seen seen = {0};
    struct why why;

    assert_int_equal(queue_index_list(f->ix, count, &seen, &why), RC_OK);
    return seen.messages;
}

static void reopen(struct fixture *f)
{
    queue_index_close(f->ix);
    f->ix = open_index(f, true);
}

static void test_follows_the_files(void **state)
{
    struct fixture *f = *state;
    struct why why = {0};
    char path[QUEUE_PATH_SIZE];
    long next;

    for (long i = 1; i <= 1200; i++) {
        put(f, i, 1, 100);
        if (i % 2)
            make_file(f, i, i % 4 == 1 ? 100 : 200);
    }
    assert_false(queue_index_is_complete(f->ix));
    assert_int_equal(queue_index_reconcile(f->ix, &why), RC_OK);
    assert_true(queue_index_is_complete(f->ix));
    assert_int_equal(listed(f), 600); /* those without file are gone */
    assert_int_equal(take(f, 150, 5000, &next), 300);
    assert_int_equal(next, 200);
    queue_index_mark_clean(f->ix);
    reopen(f);
    assert_true(queue_index_is_complete(f->ix)); /* nobody has touched anything */
    reopen(f);
    assert_false(queue_index_is_complete(f->ix)); /* not closed in order */
    assert_int_equal(queue_index_reconcile(f->ix, &why), RC_OK);
    assert_int_equal(take(f, 150, 5000, &next), 300); /* what was taken is due again */
    queue_index_mark_clean(f->ix);
    queue_path(&f->q, STR("deferred"), STR("000011"), path);
    assert_int_equal(unlinkat(f->q.dir, path, 0), 0);
    reopen(f);
    assert_false(queue_index_is_complete(f->ix)); /* a file was removed */
    assert_int_equal(queue_index_reconcile(f->ix, &why), RC_OK);
    assert_int_equal(listed(f), 599);
}

static void test_damage(void **state)
{
    struct fixture *f = *state;
    char path[128];
    int fd;

    put(f, 1, 1, 1);
    queue_index_close(f->ix);
    snprintf(path, sizeof path, "%s/queue_index.lmdb", f->directory);
    fd = open(path, O_WRONLY);
    for (int i = 0; i < 4096; i++)
        assert_int_equal(write(fd, "garbage garbage", 15), 15);
    close(fd);
    f->ix = open_index(f, true);
    assert_int_equal(listed(f), 0);
    put(f, 1, 1, 1);
    assert_int_equal(listed(f), 1);
}

static void test_grows(void **state)
{
    struct fixture *f = *state;

    for (long i = 1; i <= 4000; i++)
        put(f, i, 100, i);
    assert_int_equal(listed(f), 4000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_due_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_list_and_sites, setup, teardown),
        cmocka_unit_test_setup_teardown(test_follows_the_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_grows, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
