/* To pickup's socket, else through postdrop. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ipc/ipc.h"
#include "queue/queue.h"
#include "sendmail/sendmail.h"
#include "submit/submit.h"
#include "util/file.h"
#include "util/net.h"

enum { FRAME_BYTES = 60 * 1024, QUEUE_ID_BYTES = 64, TIMEOUT_MS = 300 * 1000 };

static enum rc connect_pickup(const struct options *o, struct ipc *c, struct why *why)
{
    struct str dir = o->command.config->submit_socket_directory,
               top = o->command.config->queue_directory;
    char path[4096];
    int fd = -1;

    if (dir.n && dir.p[0] == '/')
        snprintf(path, sizeof path, STR_FMT "/submit", STR_ARG(dir));
    else
        snprintf(path, sizeof path, STR_FMT "/" STR_FMT "/submit", STR_ARG(top), STR_ARG(dir));
    TRY(net_connect_unix(path, SOCK_STREAM, 10 * 1000, &fd, why));
    ipc_init(c, fd, TIMEOUT_MS);
    return RC_OK;
}

/* Whole records, as many as fit into a frame. */
static struct str next_frame(struct str *records)
{
    struct str rest = *records, payload, frame = {records->p, 0};
    struct why why;
    int type;

    while (record_take(&rest, &type, &payload, &why) == RC_OK) {
        size_t end = (size_t)(rest.p - records->p);
        if (end > FRAME_BYTES && frame.n)
            break;
        frame.n = end;
    }
    *records = str_from(*records, frame.n);
    return frame;
}

static enum rc send_message(struct ipc *c, struct str records, struct why *why)
{
    struct local_submit hello = {1};
    struct submit_end end = {false};

    TRY(ipc_send_local_submit(c, &hello, -1, why));
    while (records.n) {
        struct submit_text text = {next_frame(&records)};
        TRY(ipc_send_submit_text(c, &text, -1, why));
    }
    return ipc_send_submit_end(c, &end, -1, why);
}

/* Who refuses need not read to the end: the answer is there though the rest could not be sent. */
static enum rc submit(struct ipc *c, struct str records, struct arena *a, struct submit_done *done,
                      struct why *why)
{
    enum rc rc = send_message(c, records, why);

    if (rc != RC_OK && rc != RC_EOF)
        return rc;
    return ipc_read_submit_done(c, a, done, NULL, why);
}

/* Exit status, or -1: try postdrop. */
static int through_pickup(struct options *o, struct str records, struct buf *id)
{
    AUTO_ARENA a = arena_new(1024);
    struct submit_done done = {0};
    struct why why;
    struct ipc c;
    enum rc rc = connect_pickup(o, &c, &why);

    if (rc != RC_OK)
        return -1;
    rc = submit(&c, records, a, &done, &why);
    ipc_done(&c);
    if (rc == RC_OK && done.status == 0) {
        buf_add(id, done.queue_id);
        return 0;
    }
    if (rc == RC_OK && (done.status & (SUBMIT_NOPERM | SUBMIT_BAD)))
        log_fatal(&o->command.log, EX_TEMPORARY, STR_FMT,
                  STR_ARG(done.reason.n ? done.reason : STR("mail was not accepted")));
    return -1;
}

/* Of what "postdrop -r" says: names and values, each with its NUL. */
static void take_id(struct str reply, struct buf *id)
{
    while (reply.n) {
        struct str name = str_cut(&reply, '\0'), value = str_cut(&reply, '\0');
        if (str_eq(name, STR("queue_id"))) {
            buf_add(id, value);
            return;
        }
    }
}

static void read_id(int fd, struct buf *id)
{
    char reply[4096];
    size_t n = 0;
    ssize_t got;

    while (n < sizeof reply && (got = read(fd, reply + n, sizeof reply - n)) > 0)
        n += (size_t)got;
    take_id((struct str){reply, n}, id);
}

/* postdrop reads the records; its exit status says what became of them. */
static int through_postdrop(struct options *o, struct str records, struct buf *id)
{
    int to[2], from[2], status = 0;
    struct why why;
    char path[4096];
    enum rc rc;
    pid_t pid;

    snprintf(path, sizeof path, STR_FMT "/postdrop", STR_ARG(o->command.config->command_directory));
    if (pipe(to) < 0 || pipe(from) < 0 || (pid = fork()) < 0)
        log_fatal(&o->command.log, EX_TEMPORARY, "start postdrop: %m");
    if (pid == 0) {
        dup2(to[0], STDIN_FILENO);
        dup2(from[1], STDOUT_FILENO);
        close(to[0]);
        close(to[1]);
        close(from[0]);
        close(from[1]);
        execl(path, "postdrop", "-r", (char *)NULL);
        dprintf(STDERR_FILENO, "sendmail: cannot run %s: %s\n", path, strerror(errno));
        _exit(EX_TEMPORARY);
    }
    close(to[0]);
    close(from[1]);
    rc = fd_write_all(to[1], records, &why);
    close(to[1]);
    read_id(from[0], id);
    close(from[0]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (rc == RC_OK && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    log_fatal(&o->command.log, EX_TEMPORARY, "mail was not accepted%s",
              rc == RC_OK ? "" : "; postdrop ended early");
}

static void tell_id(struct options *o, struct str id)
{
    long fd;
    struct why why;

    if (!str_to_long(str_of(getenv(QUEUE_ID_FD_ENVIRONMENT)), STDERR_FILENO + 1, 1023, &fd))
        return;
    if (fd_write_all((int)fd, id, &why) != RC_OK)
        log_warning(&o->command.log, "tell the queue id: %s", why.text);
}

int hand_over(struct options *o, struct str records)
{
    const char *user = o->sender ? o->sender : getenv("LOGNAME");
    AUTO_BUF id = {0};
    int status;

    buf_init(&id, QUEUE_ID_BYTES);
    status = through_pickup(o, records, &id);
    if (status < 0)
        status = through_postdrop(o, records, &id);
    if (status == 0)
        tell_id(o, buf_str(&id));
    if (o->mode == MODE_VERIFY || o->verbose)
        printf("Mail Delivery Status Report will be mailed to <%s>.\n", user ? user : "you");
    return status;
}
