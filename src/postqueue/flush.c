/* Requests for delivery: everything, one site, one message. */
#include <unistd.h>

#include "postqueue/postqueue.h"

enum { FLUSH_OK = 0, FLUSH_FAILED = -1, FLUSH_BAD = 3, FLUSH_DENIED = 4 };

static void check_user(struct command *c)
{
    if (!command_user_is_in(c, "authorized_flush_users", c->config->authorized_flush_users)) {
        char user[64];
        command_user(user);
        log_fatal(&c->log, STATUS_FAILED, "User %s is not allowed to flush the mail queue", user);
    }
}

static void connect_service(struct command *c, struct str service, struct ipc *ipc)
{
    AUTO_ARENA a = arena_new(256);
    struct str name = arena_printf(a, "public/" STR_FMT, STR_ARG(service));
    struct why why = {0};

    if (ipc_connect(ipc, c->config->queue_directory, name.p, c->config->ipc_timeout * 1000, &why) !=
        RC_OK)
        log_fatal(&c->log, STATUS_FAILED, "Cannot flush mail queue - mail system is down");
}

static long ask_flush(struct command *c, struct ipc *ipc, const struct flush_request *request)
{
    AUTO_ARENA a = arena_new(1024);
    struct status_reply reply = {.status = FLUSH_FAILED};
    struct why why = {0};

    if (ipc_send_flush_request(ipc, request, -1, &why) != RC_OK ||
        ipc_read_status_reply(ipc, a, &reply, NULL, &why) != RC_OK)
        log_fatal(&c->log, STATUS_FAILED, "Cannot flush mail queue - " STR_FMT " service: %s",
                  STR_ARG(c->config->flush_service_name), why.text);
    return reply.status;
}

/* A try for all, whatever their next attempt is; dead sites and transports are forgotten. */
void flush_queue(struct command *c)
{
    static const char letters[] = "FADI";
    struct ipc qmgr;

    check_user(c);
    connect_service(c, c->config->queue_service_name, &qmgr);
    if (write(qmgr.fd, letters, sizeof letters - 1) != (ssize_t)sizeof letters - 1)
        log_fatal(&c->log, STATUS_FAILED, "Cannot flush mail queue - mail system is down");
    ipc_done(&qmgr);
}

static void flush_some(struct command *c, const struct flush_request *request, const char *what)
{
    struct ipc ipc;

    check_user(c);
    connect_service(c, c->config->flush_service_name, &ipc);
    switch (ask_flush(c, &ipc, request)) {
    case FLUSH_OK: break;
    case FLUSH_BAD:
        if (request->operation == 'f')
            log_fatal(&c->log, STATUS_FAILED, "Invalid request: \"%s\"", what);
        log_fatal(&c->log, STATUS_FAILED, "Cannot flush mail queue - invalid destination: \"%s\"",
                  what);
    case FLUSH_DENIED:
        log_fatal(&c->log, STATUS_FAILED, "Flush service is not configured for destination \"%s\"",
                  what);
    default: log_fatal(&c->log, STATUS_FAILED, "Cannot flush mail queue - %s failed", what);
    }
    ipc_done(&ipc);
}

void flush_site(struct command *c, const char *site)
{
    struct flush_request request = {.operation = 's', .site = str_of(site)};

    flush_some(c, &request, site);
}

void flush_id(struct command *c, const char *id)
{
    struct flush_request request = {.operation = 'f', .queue_id = str_of(id)};

    flush_some(c, &request, id);
}
