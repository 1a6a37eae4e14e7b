/*
 * A desk to try the submit library at: a queue in a temporary directory, a configuration, a log,
 * and a listener in place of qmgr. The rewriter is the real one.
 */
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "config/config.h"
#include "queue/queue.h"
#include "submit/submit.h"
#include "unit/unit.h"
#include "util/file.h"
#include "util/net.h"

struct desk {
    char dir[64], log_path[80];
    struct arena *arena; /* of the message */
    struct arena *keep;
    struct config *config;
    struct rewriter *rewriter;
    struct submit_library *lib;
    struct log log;
    int qmgr; /* listening; -1: none */
    struct submit_begin begin;
    struct submission *message;
    struct str reason;
};

/* A shell command in the queue directory. */
static inline void desk_run(struct desk *d, const char *command)
{
    char text[256];

    snprintf(text, sizeof text, "cd %s && %s", d->dir, command);
    assert_int_equal(system(text), 0);
}

static inline void desk_open(struct desk *d, const char *settings)
{
    const char basics[] = "myhostname = mx.example.test\nmydomain = example.test\n"
                          "myorigin = $mydomain\nmydestination = $mydomain, $myhostname\n"
                          "compatibility_level = 3.11\nrecipient_delimiter = +\n"
                          "alias_maps =\nlocal_recipient_maps =\nmessage_size_limit = 20000\n";
    struct log_options log = {.tag = "postfix/cleanup"};
    struct str text;
    struct why why = {0};

    *d = (struct desk){.qmgr = -1};
    snprintf(d->dir, sizeof d->dir, "/tmp/submit-XXXXXX");
    assert_non_null(mkdtemp(d->dir));
    desk_run(d, "mkdir incoming hold active public private defer deferred bounce trace");
    snprintf(d->log_path, sizeof d->log_path, "%s/log", d->dir);
    log.file = d->log_path;
    log_open(&d->log, &log);
    d->keep = arena_new(4096);
    d->arena = arena_new(4096);
    text = arena_printf(d->keep, "%squeue_directory = %s\n%s", basics, d->dir, settings);
    struct config_request request = {.dir = d->dir, .main_cf = &text};
    if (config_load(&request, &d->config, &why) != RC_OK)
        fail_msg("config: %s", why.text);
    if (rewriter_new(d->config, &d->log, &d->rewriter, &why) != RC_OK)
        fail_msg("rewriter: %s", why.text);
    if (submit_open(d->config, d->rewriter, &d->log, &d->lib, &why) != RC_OK)
        fail_msg("submit: %s", why.text);
}

/* Wait for a connection; listening sockets do not block. */
static inline int desk_accept(int listening)
{
    struct pollfd p = {.fd = listening, .events = POLLIN};

    return poll(&p, 1, 10000) == 1 ? accept(listening, NULL, NULL) : -1;
}

static inline void desk_listen(struct desk *d)
{
    char path[96];
    struct why why;

    snprintf(path, sizeof path, "%s/public/qmgr", d->dir);
    assert_int_equal(net_listen_unix(path, SOCK_STREAM, 0600, 10, &d->qmgr, &why), RC_OK);
}

static inline void desk_close(struct desk *d)
{
    arena_free(d->arena);
    submit_close(d->lib);
    rewriter_free(d->rewriter);
    config_free(d->config);
    log_close(&d->log);
    arena_free(d->keep);
    if (d->qmgr >= 0)
        close(d->qmgr);
    desk_run(d, "rm -rf ../$(basename $PWD)");
}

/* An SMTP client's envelope. */
static inline void desk_begin(struct desk *d, unsigned flags, const char *sender)
{
    struct why why = {0};

    d->begin = (struct submit_begin){
        .flags = flags,
        .arrival_sec = 1795257300,
        .arrival_usec = 5,
        .sender = str_of(sender),
        .origin = {.client_name = STR("localhost"),
                   .client_address = STR("127.0.0.1"),
                   .client_port = STR("4711"),
                   .protocol = STR("ESMTP"),
                   .helo = STR("cl.test"),
                   .rewrite_context = STR("local")},
    };
    if (submit_begin(d->lib, &d->begin, d->arena, &d->log, &d->message, &why) != RC_OK)
        fail_msg("begin: %s", why.text);
}

static inline void desk_recipient(struct desk *d, const char *address)
{
    struct recipient r = {.address = str_of(address)};

    submit_recipient(d->message, &r);
}

/* Lines separated by '\n'. */
static inline void desk_content(struct desk *d, const char *text)
{
    struct str rest = str_of(text);

    while (rest.n)
        submit_line(d->message, str_cut(&rest, '\n'), false);
}

static inline unsigned desk_finish(struct desk *d)
{
    return submit_finish(d->message, &d->reason);
}

/* Usual message from s@x.test to the recipients (blanks between). */
static inline unsigned desk_send(struct desk *d, unsigned flags, const char *recipients,
                                 const char *content)
{
    struct str list = str_of(recipients), one;

    arena_reset(d->arena);
    desk_begin(d, flags, "s@x.test");
    while (str_token(&list, " ", &one))
        desk_recipient(d, arena_text(d->arena, one));
    desk_content(d, content);
    return desk_finish(d);
}

/* The file of the last message, one record per line: type, blank, payload. NULL: no file. */
static inline const char *desk_dump(struct desk *d, const char *queue)
{
    struct record_reader r;
    struct str payload, text = STR("");
    char path[128];
    struct why why;
    int type, fd;

    snprintf(path, sizeof path, "%s/%s/%s", d->dir, queue, submit_queue_id(d->message));
    fd = open(path, O_RDONLY);
    if (fd < 0)
        return NULL;
    record_reader_init(&r, fd, d->arena, 0);
    while (record_read(&r, false, &type, &payload, &why) == RC_OK)
        text = arena_printf(d->arena, STR_FMT "%c " STR_FMT "\n", STR_ARG(text), type,
                            STR_ARG(payload));
    close(fd);
    return text.p;
}

/* Records of these types only. */
static inline const char *desk_records(struct desk *d, const char *queue, const char *types)
{
    struct str rest = str_of(desk_dump(d, queue)), out = STR("");

    while (rest.n) {
        struct str line = str_cut(&rest, '\n');
        if (line.n && strchr(types, line.p[0]))
            out = arena_printf(d->arena, STR_FMT STR_FMT "\n", STR_ARG(out), STR_ARG(line));
    }
    return out.p;
}

/* The content: N and L records; lines of the header that carry the time or id are left out. */
static inline const char *desk_text(struct desk *d)
{
    struct str rest = str_of(desk_dump(d, "incoming")), out = STR("");
    bool content = false;

    while (rest.n) {
        struct str line = str_cut(&rest, '\n');
        char type = line.n ? line.p[0] : 0;
        if (type == 'M')
            content = true;
        else if (type == 'X')
            break;
        else if (content)
            out = arena_printf(d->arena, STR_FMT STR_FMT "%s", STR_ARG(out),
                               STR_ARG(str_from(line, 2)), type == 'L' ? "" : "\n");
    }
    return out.p;
}

static inline bool desk_logged(struct desk *d, const char *text)
{
    struct str log = STR("");
    struct why why;

    if (file_read(d->log_path, 1 << 20, d->keep, &log, &why) != RC_OK)
        return false;
    return str_find(log, str_of(text)) >= 0;
}

#define assert_logged(d, text)                                                                     \
    do {                                                                                           \
        if (!desk_logged(d, text)) {                                                               \
            desk_run(d, "cat log");                                                                \
            fail_msg("not logged: %s", text);                                                      \
        }                                                                                          \
    } while (0)
