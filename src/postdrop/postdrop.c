/*
 * postdrop - store a message from standard input in maildrop/, for users who may not write there
 * themselves.
 *
 * Runs set-gid setgid_group. Input: the records that sendmail(1) makes. Output, for programs
 * (option -r): two groups of NUL-terminated names and values, first protocol and queue_id, at the
 * end status and reason. The exit status is the status.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "service/command.h"
#include "submit/local.h"
#include "submit/submit.h"
#include "util/net.h"

enum { INPUT_MAX = 64 * 1024, SOFTWARE = 70 };

struct postdrop {
    struct command command;
    struct queue queue;
    struct arena *arena;
    struct queue_file *file;
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
    log_warning(&p->command.log, "uid=%lu: %s", (unsigned long)getuid(), reason);
    answer(p, status, reason);
    arena_free(p->arena); /* removes the file */
    exit(status ? (int)status : 1);
}

/* Take what is complete from the buffer. */
static void take_records(struct postdrop *p, struct local_check *check, struct str *bytes)
{
    struct str payload;
    struct why why;
    int type;
    enum rc rc;

    while (check->part != LOCAL_END && (rc = record_take(bytes, &type, &payload, &why)) == RC_OK) {
        bool keep;
        if (local_check_record(check, type, payload, &keep, &why) != RC_OK)
            give_up(p, SUBMIT_BAD, why.text);
        if (keep)
            queue_file_put(p->file, type, payload);
        else if (type == REC_ATTR)
            log_warning(&p->command.log, "uid=%lu: %s", (unsigned long)getuid(), why.text);
        if (queue_file_error(p->file, &why) != RC_OK)
            give_up(p, SUBMIT_WRITE, why.text);
        if (p->command.config->message_size_limit > 0 &&
            queue_file_offset(p->file) > p->command.config->message_size_limit)
            give_up(p, SUBMIT_SIZE, "message file too big");
        rc = RC_OK;
    }
    if (check->part != LOCAL_END && rc != RC_NONE)
        give_up(p, SUBMIT_BAD, why.text);
}

static void read_message(struct postdrop *p, struct local_check *check)
{
    char *buffer = arena_alloc(p->arena, INPUT_MAX);
    size_t n = 0;
    ssize_t got;

    while (check->part != LOCAL_END && (got = read(STDIN_FILENO, buffer + n, INPUT_MAX - n)) > 0) {
        struct str bytes = {buffer, n + (size_t)got};
        take_records(p, check, &bytes);
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

static void store(struct postdrop *p)
{
    const struct config *c = p->command.config;
    struct local_check check = {0};
    struct timespec created;
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
    read_message(p, &check);
    if (local_check_end(&check, &why) != RC_OK)
        give_up(p, SUBMIT_BAD, why.text);
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
    char user[64];
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
    if (!command_user_is_in(&p.command, "authorized_submit_users",
                            p.command.config->authorized_submit_users)) {
        command_user(user);
        log_error(&p.command.log, "User %s is not allowed to submit mail", user);
        answer(&p, SUBMIT_NOPERM, "User is not allowed to submit mail");
        return 77;
    }
    store(&p);
    arena_free(p.arena);
    return 0;
}
