/*
 * postdrop - store a message from standard input in maildrop/, for users who may not write there
 * themselves.
 *
 * Runs set-gid setgid_group. Input: the records that sendmail(1) makes. Output, for programs
 * (option -r): two groups of NUL-terminated names and values, first protocol and queue_id, at the
 * end status and reason. The exit status is the status.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "service/command.h"
#include "submit/drop.h"
#include "submit/submit.h"
#include "util/net.h"

enum { INPUT_MAX = 64 * 1024, SOFTWARE = 70, TEMPORARY = 75, NOT_PERMITTED = 77 };

struct postdrop {
    struct command command;
    struct queue queue;
    struct arena *arena;
    struct queue_file *file;
    struct drop_access *access;
    sigset_t while_waiting; /* signals that stay blocked then */
    bool reply;
};

static void answer(const struct postdrop *p, unsigned status, const char *reason)
{
    if (p->reply)
        printf("status%c%u%creason%c%s%c%c", 0, status, 0, 0, reason, 0, 0);
    fflush(stdout);
}

static _Noreturn void give_up(struct postdrop *p, unsigned status, const char *reason)
{
    if (strncmp(reason, "uid=", 4) == 0)
        log_warning(&p->command.log, "%s", reason);
    else
        log_warning(&p->command.log, "uid=%lu: %s", (unsigned long)getuid(), reason);
    answer(p, status, reason);
    arena_free(p->arena); /* removes the file */
    exit(status ? (int)status : 1);
}

/* Take what is complete from the buffer. */
static void take_records(struct postdrop *p, struct drop *drop, struct str *bytes)
{
    long limit = p->command.config->message_size_limit;
    struct str payload;
    struct why why;
    int type;
    enum rc rc = RC_OK;

    while (drop->part != DROP_COMPLETE &&
           (rc = record_take(bytes, &type, &payload, &why)) == RC_OK) {
        enum drop_kind kind;
        if (drop_record(drop, type, payload, &kind, &why) != RC_OK)
            give_up(p, SUBMIT_BAD, why.text);
        if (kind == DROP_UNKNOWN)
            log_warning(&p->command.log, "%s", why.text);
        else if (kind != DROP_IGNORED)
            queue_file_put(p->file, type, payload);
        if (queue_file_error(p->file, &why) != RC_OK)
            give_up(p, SUBMIT_WRITE, why.text);
        if (limit > 0 && queue_file_offset(p->file) > limit)
            give_up(p, SUBMIT_SIZE, "message file too big");
    }
    if (rc != RC_OK && rc != RC_NONE)
        give_up(p, SUBMIT_BAD, why.text);
}

static void interrupted(int signal_number)
{
    (void)signal_number; /* that poll() returns is all we want */
}

/* Signals that end us get through only while we wait for input, where the file can be removed. */
static void block_signals(sigset_t *while_waiting)
{
    static const int endings[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    struct sigaction action = {.sa_handler = interrupted}, before;
    sigset_t block;

    sigemptyset(&block);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        sigaction(endings[i], NULL, &before);
        if (before.sa_handler == SIG_IGN) /* nohup */
            continue;
        sigaction(endings[i], &action, NULL);
        sigaddset(&block, endings[i]);
    }
    sigprocmask(SIG_BLOCK, &block, while_waiting);
}

static ssize_t read_input(struct postdrop *p, char *to, size_t n)
{
    struct pollfd input = {STDIN_FILENO, POLLIN, 0};

    if (ppoll(&input, 1, NULL, &p->while_waiting) < 0)
        give_up(p, SUBMIT_BAD, errno == EINTR ? "interrupted" : "cannot wait for input");
    return read(STDIN_FILENO, to, n);
}

static void read_message(struct postdrop *p, struct drop *drop)
{
    char *buffer = arena_alloc(p->arena, INPUT_MAX);
    size_t n = 0;
    ssize_t got;

    while (drop->part != DROP_COMPLETE && (got = read_input(p, buffer + n, INPUT_MAX - n)) > 0) {
        struct str bytes = {buffer, n + (size_t)got};
        take_records(p, drop, &bytes);
        if (bytes.n == INPUT_MAX)
            give_up(p, SUBMIT_BAD, "record is too long");
        memmove(buffer, bytes.p, bytes.n);
        n = bytes.n;
    }
}

/* Wake pickup; when it is not there the next start finds the file. */
static void wake_pickup(const struct config *c)
{
    char path[4096];
    struct why why;
    int fd;

    snprintf(path, sizeof path, STR_FMT "/public/" STR_FMT, STR_ARG(c->queue_directory),
             STR_ARG(c->pickup_service_name));
    if (net_connect_unix(path, SOCK_STREAM, 1000, &fd, &why) != RC_OK)
        return;
    (void)!write(fd, "W", 1);
    close(fd);
}

/* Who may, and as whom; before anything is visible to pickup. */
static void check_user(struct postdrop *p, struct str sender, bool have_sender)
{
    struct why why;
    enum rc rc;

    rc = have_sender ? drop_may_send_as(p->access, getuid(), sender, &why)
                     : drop_may_submit(p->access, getuid(), &why);
    if (rc == RC_OK)
        return;
    answer(p, rc == RC_PERM ? SUBMIT_NOPERM : SUBMIT_DEFER, why.text);
    arena_free(p->arena);
    log_fatal(&p->command.log, rc == RC_PERM ? NOT_PERMITTED : TEMPORARY, "%s", why.text);
}

static void store(struct postdrop *p)
{
    const struct config *c = p->command.config;
    struct timespec created;
    struct drop drop;
    struct why why;
    int fd = -1;

    if (queue_open(c, &p->queue, &why) != RC_OK ||
        queue_file_create(&p->queue, STR("maildrop"), p->arena, &p->file, &why) != RC_OK)
        give_up(p, SUBMIT_WRITE, why.text);
    created = queue_file_created(p->file);
    queue_file_putf(p->file, REC_TIME, "%lld %ld", (long long)created.tv_sec,
                    created.tv_nsec / 1000);
    if (p->reply) {
        printf("protocol%cpostdrop_protocol%cqueue_id%c%s%c%c", 0, 0, 0, queue_file_id(p->file), 0,
               0);
        fflush(stdout);
    }
    drop_init(&drop, DROP_FROM_PROGRAM, getuid(), p->arena);
    read_message(p, &drop);
    if (drop_check(&drop, &why) != RC_OK)
        give_up(p, SUBMIT_BAD, why.text);
    check_user(p, drop.begin.sender, true);
    if (queue_file_commit(p->file, STR("maildrop"), &fd, &why) != RC_OK)
        give_up(p, SUBMIT_WRITE, why.text);
    close(fd); /* and with it the lock that keeps pickup away */
    wake_pickup(c);
    answer(p, 0, "");
}

int main(int argc, char **argv)
{
    struct postdrop p = {0};
    const char *dir = NULL;
    struct why why;
    int letter;

    signal(SIGPIPE, SIG_IGN);
    command_init(&p.command, argv[0]);
    p.command.failure = SOFTWARE;
    while ((letter = getopt(argc, argv, "c:rv")) != -1) {
        switch (letter) {
        case 'c': dir = optarg; break;
        case 'r': p.reply = true; break;
        case 'v': p.command.log.verbose++; break;
        default: log_fatal(&p.command.log, SOFTWARE, "usage: %s [-c config_dir] [-v]", argv[0]);
        }
    }
    command_configure(&p.command, dir);
    p.arena = arena_new(4096);
    if (drop_access_open(p.command.config, &p.command.log, &p.access, &why) != RC_OK)
        log_fatal(&p.command.log, TEMPORARY, "%s", why.text);
    block_signals(&p.while_waiting);
    check_user(&p, STR(""), false);
    store(&p);
    arena_free(p.arena);
    return 0;
}
