/* Listing, through showq or from the directories. */
#include <errno.h>
#include <string.h>

#include "postqueue/postqueue.h"
#include "table/table.h"

static bool print_one(void *context, const struct queue_entry *entry)
{
    printer_entry(context, entry);
    return true;
}

/* The system is down, but root may look himself. */
static void read_directories(struct command *c, struct printer *p)
{
    struct queue queue = {0};
    struct why why = {0};

    if (queue_open(c->config, &queue, &why) != RC_OK ||
        queue_list(&queue, NULL, print_one, p, &why) != RC_OK)
        log_fatal(&c->log, STATUS_FAILED, "%s", why.text);
    queue_close(&queue);
}

static void read_service(struct command *c, struct ipc *showq, struct printer *p)
{
    struct arena *a = arena_new(8192);
    struct why why = {0};

    for (;;) {
        struct queue_entry e = {0};
        arena_reset(a);
        if (ipc_read_queue_entry(showq, a, &e, NULL, &why) != RC_OK)
            log_fatal(&c->log, STATUS_FAILED, "%s service: %s", c->config->showq_service_name.p,
                      why.text);
        if (e.queue_id.n == 0)
            break;
        printer_entry(p, &e);
    }
    ipc_done(showq);
    arena_free(a);
}

static void check_user(struct command *c)
{
    if (!command_user_is_in(c, "authorized_mailq_users", c->config->authorized_mailq_users)) {
        char user[64];
        command_user(user);
        log_fatal(&c->log, STATUS_FAILED, "User %s is not allowed to view the mail queue", user);
    }
}

void show_queue(struct command *c, bool json)
{
    struct arena *a = arena_new(1024);
    struct printer *p = printer_new(json, c->config->enable_long_queue_ids, stdout, a);
    struct str name = arena_printf(a, "public/" STR_FMT, STR_ARG(c->config->showq_service_name));
    struct why why = {0};
    struct ipc showq;

    check_user(c);
    errno = 0;
    if (ipc_connect(&showq, c->config->queue_directory, name.p, c->config->ipc_timeout * 1000,
                    &why) == RC_OK) {
        read_service(c, &showq, p);
    } else {
        const char *reason = errno ? strerrordesc_np(errno) : why.text;
        if (!c->privileged)
            log_fatal(&c->log, STATUS_FAILED,
                      "Queue report unavailable - mail system is down (Connect to the " STR_FMT
                      " " STR_FMT " service: %s)",
                      STR_ARG(c->config->mail_name), STR_ARG(c->config->showq_service_name),
                      reason);
        log_warning(&c->log,
                    "Mail system is down -- accessing queue directly (Connect to the " STR_FMT
                    " " STR_FMT " service: %s)",
                    STR_ARG(c->config->mail_name), STR_ARG(c->config->showq_service_name), reason);
        read_directories(c, p);
    }
    printer_end(p);
    arena_free(a);
}
