/* reject_unverified_*: ask the verify service whether an address can be delivered to. */
#include <unistd.h>

#include "access/restrictions.h"
#include "config/config.h"
#include "ipc/ipc.h"

enum { ADDRESS_OK, ADDRESS_DEFER, ADDRESS_BOUNCE, ADDRESS_TODO };

struct side {
    const char *class;
    const char *dsn;
    long reject_code, defer_code;
    struct str reason; /* shown instead of the other server's words */
    struct str tempfail_action;
};

/* The last step is to ask; nothing is kept open, probes are rare. */
static enum rc ask(struct access_context *c, struct str address, struct verify_reply *reply,
                   struct why *why)
{
    const struct config *config = c->access->config;
    struct verify_request request = {.operation = 'q', .address = address};
    struct str name =
        arena_printf(c->arena, "private/" STR_FMT, STR_ARG(config->address_verify_service_name));
    struct ipc ipc;
    enum rc rc;

    TRY(ipc_connect(&ipc, config->queue_directory, name.p, config->ipc_timeout * 1000, why));
    ipc_trace(&ipc, c->log);
    rc = ipc_send_verify_request(&ipc, &request, -1, why);
    if (rc == RC_OK)
        rc = ipc_read_verify_reply(&ipc, c->arena, reply, NULL, why);
    ipc_done(&ipc);
    if (rc == RC_OK && reply->status != 0)
        return FAIL(why, RC_TEMP, "the verify service cannot answer now");
    return rc;
}

static struct str reason_text(struct access_context *c, const char *kind, struct str own,
                              struct str given)
{
    if (own.n)
        return own;
    return arena_printf(c->arena, "%s address: " STR_FMT, kind, STR_ARG(given));
}

static enum verdict check_verified(struct access_context *c, struct str address,
                                   const struct side *side)
{
    const struct config *config = c->access->config;
    struct verify_reply reply = {.recipient_status = ADDRESS_TODO};
    struct why why;
    enum rc rc = RC_OK;

    if (address.n == 0 || c->dry_run)
        return DUNNO;
    for (long i = 0; i < config->address_verify_poll_count; i++) {
        if (i)
            sleep((unsigned)config->address_verify_poll_delay);
        rc = ask(c, address, &reply, &why);
        if (rc != RC_OK || reply.recipient_status != ADDRESS_TODO)
            break;
    }
    if (rc != RC_OK) {
        log_warning(c->log, "address verification of " STR_FMT ": %s", STR_ARG(address), why.text);
        return refuse_subject(c, 450, side->dsn, address, side->class,
                              STR("unverified address: address verification problem"));
    }
    switch (reply.recipient_status) {
    case ADDRESS_OK: return DUNNO;
    case ADDRESS_DEFER:
        return refuse_for_now(c, side->tempfail_action, 450, side->dsn, address, side->class,
                              reason_text(c, "unverified", side->reason, reply.reason));
    case ADDRESS_BOUNCE:
        return refuse_subject(c, side->reject_code, side->dsn, address, side->class,
                              reason_text(c, "undeliverable", side->reason, reply.reason));
    default:
        return refuse_for_now(c, side->tempfail_action, side->defer_code, side->dsn, address,
                              side->class,
                              STR("unverified address: Address verification in progress"));
    }
}

enum verdict reject_unverified_sender(struct access_context *c, const struct step *s)
{
    const struct config *config = c->access->config;
    struct side side = {CLASS_SENDER,
                        "4.1.7",
                        config->unverified_sender_reject_code,
                        config->unverified_sender_defer_code,
                        config->unverified_sender_reject_reason,
                        config->unverified_sender_tempfail_action};

    (void)s;
    return c->sender.p ? check_verified(c, c->sender, &side) : DUNNO;
}

enum verdict reject_unverified_recipient(struct access_context *c, const struct step *s)
{
    const struct config *config = c->access->config;
    struct side side = {CLASS_RECIPIENT,
                        "4.1.1",
                        config->unverified_recipient_reject_code,
                        config->unverified_recipient_defer_code,
                        config->unverified_recipient_reject_reason,
                        config->unverified_recipient_tempfail_action};

    (void)s;
    return c->recipient.p ? check_verified(c, c->recipient, &side) : DUNNO;
}
