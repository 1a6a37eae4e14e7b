/* What a confined process cannot do any more. Each attempt in a child of its own: there is no way
 * back. */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "service/runtime.h"
#include "service/seccomp.h"
#include "unit/unit.h"

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#    define SANITIZED true
#else
#    define SANITIZED false
#endif

enum { ENDED = 0, FAILED = 100 };

/* errno of the attempt in a confined child; 0: it went well. */
static int confined(const struct service *service, const char *queue_directory,
                    int (*attempt)(const char *), const char *path)
{
    pid_t pid = fork();
    int status;

    assert_true(pid >= 0);
    if (pid == 0) {
        struct config config = {.service_sandbox = true,
                                .queue_directory = str_of(queue_directory),
                                .data_directory = STR("/nonexistent")};
        struct runtime r = {.service = service, .config = &config};
        struct sandbox s;
        struct why why;
        if (sandbox_prepare(&r, &s, &why) != RC_OK || sandbox_enter(&r, &s, &why) != RC_OK)
            _exit(FAILED);
        errno = 0;
        _exit(attempt(path) < 0 ? errno : ENDED);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_not_equal(WEXITSTATUS(status), FAILED);
    return WEXITSTATUS(status);
}

static int run_program(const char *path)
{
    char *argv[] = {(char *)path, NULL};

    return execv(path, argv);
}

static int trace_parent(const char *path)
{
    (void)path;
    return (int)ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
}

static int mount_it(const char *path)
{
    return mount("none", path, "tmpfs", 0, NULL);
}

static int change_root(const char *path)
{
    return chroot(path);
}

static int make_device(const char *path)
{
    return mknod(path, S_IFCHR | 0600, 0);
}

static int write_file(const char *path)
{
    return open(path, O_WRONLY | O_CREAT, 0600);
}

static int read_file(const char *path)
{
    return open(path, O_RDONLY);
}

static int make_socket(const char *path)
{
    (void)path;
    return socket(AF_INET, SOCK_STREAM, 0);
}

static const struct service plain = {.name = "plain"};
static const struct service writer = {.name = "writer", .may = MAY_WRITE_QUEUE};
static const struct service spawner = {.name = "spawner", .may = MAY_EXEC};

static void calls_that_are_refused(void **state)
{
    static const struct {
        int (*attempt)(const char *);
        const char *path;
        int want;
    } vectors[] = {
        {run_program, "/bin/true", EPERM}, {trace_parent, "", EPERM},
        {mount_it, "/tmp", EPERM},         {change_root, "/", EPERM},
        {make_device, "/tmp/x", EPERM},    {read_file, "/", ENDED},
        {make_socket, "", ENDED},
    };

    (void)state;
    if (SANITIZED)
        skip();
    for (size_t i = 0; i < COUNT(vectors); i++)
        assert_int_equal(confined(&plain, "/nonexistent", vectors[i].attempt, vectors[i].path),
                         vectors[i].want);
}

static void programs_for_those_who_run_them(void **state)
{
    (void)state;
    assert_int_equal(confined(&spawner, "/nonexistent", run_program, "/bin/true"), ENDED);
}

static void files_that_may_be_written(void **state)
{
    char queue[] = "/tmp/sandbox-XXXXXX", inside[64], outside[64];

    (void)state;
    if (SANITIZED ||
        syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) < 2)
        skip();
    assert_non_null(mkdtemp(queue));
    snprintf(inside, sizeof inside, "%s/x", queue);
    snprintf(outside, sizeof outside, "%s.x", queue);
    assert_int_equal(confined(&writer, queue, write_file, inside), ENDED);
    assert_int_equal(confined(&writer, queue, write_file, outside), EACCES);
    assert_int_equal(confined(&plain, queue, write_file, inside), EACCES);
    assert_int_equal(access(outside, F_OK), -1);
    unlink(inside);
    rmdir(queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_that_are_refused),
        cmocka_unit_test(programs_for_those_who_run_them),
        cmocka_unit_test(files_that_may_be_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
