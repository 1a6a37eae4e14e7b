/* Spool files of Obtuse smtpd: what is written is read again; what is wrong is refused. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "submit/spool_file.h"
#include "unit/unit.h"
#include "util/file.h"

static const struct {
    const char *text;
    enum rc rc;
    const char *sender, *first;
    size_t recipients;
    long body;
} vectors[] = {
    {"FROM <a@b>\nRCPT <c@d>\nBODY\nx", RC_OK, "a@b", "c@d", 1, 27},
    {"FROM a@b\nSENT c@d\nRCPT e@f\nBODY\n", RC_OK, "a@b", "c@d", 2, 32},
    {"FROM <>\nFAIL <c@d>\nBODY\n", RC_OK, "", "c@d", 1, 24},
    {"FROM \nRCPT c@d\nBODY \n", RC_OK, "", "c@d", 1, 21},
    {"", RC_PERM, NULL, NULL, 0, 0},
    {"FROM <a@b>\nRCPT <c@d>\n", RC_PERM, NULL, NULL, 0, 0},
    {"FROM <a@b>\nBODY\n", RC_PERM, NULL, NULL, 0, 0},
    {"RCPT <c@d>\nBODY\n", RC_PERM, NULL, NULL, 0, 0},
    {"FROM <a@b>\nRCPT <>\nBODY\n", RC_PERM, NULL, NULL, 0, 0},
    {"FROM <a@b>\nSomething\nBODY\n", RC_PERM, NULL, NULL, 0, 0},
};

static void test_envelopes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(vectors); i++) {
        AUTO_ARENA a = arena_new(512);
        struct spool_message m;
        struct why why = {0};
        assert_int_equal(spool_parse(str_of(vectors[i].text), a, &m, &why), vectors[i].rc);
        if (vectors[i].rc != RC_OK)
            continue;
        assert_str(m.sender, vectors[i].sender);
        assert_int_equal(m.recipients.n, vectors[i].recipients);
        assert_str(m.recipients.v[0].address, vectors[i].first);
        assert_int_equal(m.body, vectors[i].body);
    }
}

static char *make_directory(char *path)
{
    strcpy(path, "/tmp/test_spool.XXXXXX");
    assert_non_null(mkdtemp(path));
    return path;
}

static void test_written_and_read(void **state)
{
    struct arena *a = arena_new(512);
    struct spool_writer *w = NULL;
    struct spool_message m;
    struct why why;
    struct stat st;
    char directory[64], path[128], name[32];
    int fd;

    (void)state;
    assert_int_equal(spool_create(make_directory(directory), STR("a b@c"), a, &w, &why), RC_OK);
    snprintf(name, sizeof name, "%s", spool_name(w));
    snprintf(path, sizeof path, "%s/%s", directory, name);
    spool_recipient(w, STR("x@y"));
    spool_recipient(w, STR("z@y"));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600); /* not complete */
    for (int i = 0; i < 100000; i++)
        spool_content(w, STR("some line\n"));
    assert_int_equal(spool_commit(w, &why), RC_OK);
    arena_free(a);

    a = arena_new(512);
    fd = open(path, O_RDWR);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_mode & 0777, SPOOL_MODE_COMPLETE);
    assert_int_equal(spool_read(fd, a, &m, &why), RC_OK);
    assert_str(m.sender, "\"a b\"@c");
    assert_int_equal(m.recipients.n, 2);
    assert_int_equal(st.st_size - m.body, 1000000);
    assert_int_equal(spool_mark(fd, &m.recipients.v[1], SPOOL_SENT, &why), RC_OK);
    assert_int_equal(spool_read(fd, a, &m, &why), RC_OK);
    assert_int_equal(m.recipients.v[0].state, SPOOL_RCPT);
    assert_int_equal(m.recipients.v[1].state, SPOOL_SENT);
    close(fd);
    unlink(path);
    rmdir(directory);
    arena_free(a);
}

static void test_abandoned(void **state)
{
    struct arena *a = arena_new(512);
    struct spool_writer *w = NULL;
    struct why why;
    char directory[64];

    (void)state;
    assert_int_equal(spool_create(make_directory(directory), STR("a@c"), a, &w, &why), RC_OK);
    spool_recipient(w, STR("x\n@y")); /* would be a line of its own */
    assert_int_equal(spool_commit(w, &why), RC_PERM);
    arena_free(a);
    assert_int_equal(rmdir(directory), 0); /* nothing is left */
}

static void test_directories(void **state)
{
    struct why why = {0};
    char directory[64];

    (void)state;
    make_directory(directory);
    assert_int_equal(spool_directory_check(directory, geteuid(), &why), RC_OK);
    assert_int_equal(spool_directory_check(directory, geteuid() + 1, &why), RC_CONFIG);
    chmod(directory, 0750);
    assert_int_equal(spool_directory_check(directory, geteuid(), &why), RC_CONFIG);
    assert_non_null(strstr(why.text, directory));
    rmdir(directory);
    assert_int_equal(spool_directory_check(directory, geteuid(), &why), RC_CONFIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_envelopes),
        cmocka_unit_test(test_written_and_read),
        cmocka_unit_test(test_abandoned),
        cmocka_unit_test(test_directories),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
