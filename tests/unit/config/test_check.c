#include <stdlib.h>
#include <unistd.h>

#include "config/check.h"
#include "unit/unit.h"
#include "util/file.h"

static char dir[] = "/tmp/test_check.XXXXXX";

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) == NULL;
}

static const char *path_of(const char *name)
{
    static char path[64];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static int remove_dir(void **state)
{
    (void)state;
    unlink(path_of("main.cf"));
    unlink(path_of("master.cf"));
    return rmdir(dir);
}

static void put(const char *name, const char *text)
{
    struct why why = {0};

    if (file_replace(path_of(name), str_of(text), 0644, &why) != RC_OK)
        fail_msg("%s", why.text);
}

/* Words are collected without the directory, one per line, 'E' or 'W' in front. */
static void collect(void *context, bool is_error, const char *words)
{
    const char *at = strstr(words, dir);

    buf_addf(context, "%c ", is_error ? 'E' : 'W');
    if (at) {
        buf_add(context, (struct str){words, (size_t)(at - words)});
        words = at + strlen(dir) + 1;
    }
    buf_addf(context, "%s\n", words);
}

#define MASTER "smtp inet n - n - - smtpd\nsmtp unix - - n - - smtp\nrelay unix - - n - - smtp\n"

static const struct {
    const char *main, *master, *said;
} vectors[] = {
    {"myhostname = a.example\n", MASTER, ""},
    {"myorigin = a\nmydomain = b\nmyorigin = a\nmyorigin = c\n", MASTER,
     "W main.cf, line 4: overriding earlier entry: myorigin=a\n"},
    {"a = 1\n", MASTER, "W main.cf: unused parameter: a=1\n"},
    {"a = 1\nb = $a\nalways_bcc = $b\n", MASTER, ""},
    {"a = $a\n", MASTER,
     "E main.cf, line 1: a = $a: the value of a refers to itself\n"
     "W main.cf: unused parameter: a=$a\n"},
    {"always_bcc = $nope ${maybe?{x}}\n", MASTER,
     "W main.cf: undefined parameter: nope\nW main.cf: undefined parameter: maybe\n"},
    {"smtpd_restriction_classes = one, two\none = permit\nthree = reject\n", MASTER,
     "W main.cf: undefined parameter: two\nW main.cf: unused parameter: three=reject\n"},
    {"foo_destination_recipient_limit = 1\nrelay_destination_recipient_limit = 1\n", MASTER,
     "W main.cf: unused parameter: foo_destination_recipient_limit=1\n"},
    {"relay_destination_recipient_limit = x\n", MASTER,
     "E main.cf, line 1: relay_destination_recipient_limit = x: not a number; write digits only\n"},
    {"smtp_time_limit = 3\npolicy_time_limit = 3\nsmtp_process_sessions=1\n",
     MASTER "policy unix - n n - 0 spawn user=x argv=/x\n",
     "W main.cf: unused parameter: smtp_time_limit=3\n"},
    {"virtual_alias_maps = proxy:mysql:db, ldap:/etc/x\ndb_user = u\nother_user = u\n", MASTER,
     "W main.cf: unused parameter: other_user=u\n"},
    {"smtp_use_tls = yes\n", MASTER,
     "W main.cf: support for parameter \"smtp_use_tls\" will be removed; instead, use "
     "\"smtp_tls_security_level\"\n"},
    {"relayhost = [x] # why\n", MASTER,
     "W main.cf, line 1: #comment after other text is not allowed: # why\n"},
    {"biff = x\nnonsense\nmax_use = -\n", MASTER,
     "E main.cf, line 2: missing '=' after attribute name: \"nonsense\"; write: name = value\n"
     "E main.cf, line 1: biff = x: neither yes nor no\n"
     "E main.cf, line 3: max_use = -: not a number; write digits only\n"},
    {"myorigin = ${x\nmydestination = $myorigin $mydomain\n", MASTER,
     "E main.cf, line 1: myorigin = ${x: no closing bracket for \"${x\"\n"
     "W main.cf: undefined parameter: x\n"},
    {"mua = permit\n",
     MASTER "x inet n - n - - smtpd -o smtpd_client_restrictions=$mua -o y=1 -o z=2\n"
            " -o always_bcc=$y -o smtpd_timeout=x\n",
     "E master.cf, line 4: smtpd_timeout = x: not a time; write a number and one of s m h d w, "
     "such as 30s\nW master.cf: unused parameter: z=2\n"},
    {"", MASTER "x unix - - - - c\nqmgr unix n - n 300 2 qmgr\ncleanup unix n - n - - cleanup\n",
     "E master.cf, line 4: bad field count: 7 of 8; write: service type private unpriv chroot "
     "wakeup maxproc command\n"
     "E master.cf, line 5: service qmgr requires a process limit of 1, not 2; write 1 in the "
     "maxproc field\n"
     "E master.cf, line 6: service cleanup requires a process limit of 0, not -; write 0 in the "
     "maxproc field\n"},
};

static void test_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(vectors); i++) {
        AUTO_BUF said;
        struct check_report report = {collect, &said};
        enum rc rc;

        buf_init(&said, 100000);
        put("main.cf", vectors[i].main);
        put("master.cf", vectors[i].master);
        rc = config_check(dir, &report);
        if (strcmp(buf_text(&said), vectors[i].said) != 0)
            fail_msg("%s\ngot  %s\nwant %s", vectors[i].main, buf_text(&said), vectors[i].said);
        assert_int_equal(rc, strstr(vectors[i].said, "E ") ? RC_CONFIG : RC_OK);
    }
}

static void test_missing_files(void **state)
{
    AUTO_BUF said;
    struct check_report report = {collect, &said};

    (void)state;
    buf_init(&said, 100000);
    put("main.cf", "");
    unlink(path_of("master.cf"));
    assert_int_equal(config_check(dir, &report), RC_CONFIG);
    assert_string_equal(buf_text(&said), "E open master.cf: No such file or directory\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_missing_files),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
