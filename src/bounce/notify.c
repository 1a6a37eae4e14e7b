/*
 * Who is told what.
 *
 * A message that failed is returned to its sender; one without sender is a notification itself and
 * goes to nobody, or to the postmaster when notify_classes asks for it; one that was meant for the
 * postmaster is dropped. So notifications never make notifications of notifications.
 */
#include "bounce/bounce.h"
#include "config/config.h"
#include "global/address.h"
#include "global/dsn.h"

/* RET=HDRS and, unless the administrator says otherwise, REQUIRETLS: the body stays here (RFC 3461
 * 4.3, RFC 8689 5). */
static bool headers_only(const struct notice *n)
{
    enum { REQUIRETLS = 32 };

    return n->request->dsn_ret == DSN_RET_HDRS ||
           (n->request->sendopts & REQUIRETLS && n->env->config->requiretls_redact_dsn);
}

static enum rc failed(enum rc rc, const struct notice *n, const struct addressee *to,
                      struct why *why)
{
    if (rc == RC_OK || rc == RC_NONE)
        return RC_OK;
    log_warning(&n->log, "%s notification failed to " STR_FMT ": %s",
                to->postmaster ? "postmaster" : "sender",
                STR_ARG(address_quote(n->arena, to->recipient)), why->text);
    return rc;
}

static enum rc tell(struct notice *n, const struct addressee *to, struct why *why)
{
    enum rc rc;

    board_count(&n->env->board, COUNTER_bounce_message, 1);
    rc = report_send(n, to, why);
    board_count(&n->env->board, COUNTER_bounce_message, -1);
    return failed(rc, n, to, why);
}

static struct addressee sender_of(const struct notice *n, long notify, const char *what)
{
    return (struct addressee){
        .sender = STR(""),
        .recipient = n->request->sender,
        .headers_only = headers_only(n),
        .notify = notify,
        .source = SUBMIT_FROM_BOUNCE,
        .what = what,
    };
}

static struct addressee postmaster_of(const struct notice *n, struct str address, const char *what)
{
    return (struct addressee){
        .sender = n->state->double_bounce,
        .recipient = address,
        .postmaster = true,
        .headers_only = true,
        .source = SUBMIT_FROM_NOTIFY,
        .what = what,
    };
}

/* A copy for the postmaster is not worth a second notification of the sender. */
static void copy_postmaster(struct notice *n, struct str address, const char *what)
{
    struct addressee to = postmaster_of(n, address, what);
    struct why why = {0};

    (void)!tell(n, &to, &why);
}

static bool is_double_bounce(const struct notice *n)
{
    return str_eq_nocase(n->request->sender, n->state->double_bounce);
}

enum rc notify_failure(struct notice *n, struct why *why)
{
    const struct config *config = n->env->config;
    struct addressee to = sender_of(n, DSN_NOTIFY_FAILURE, "sender non-delivery notification");
    static const char copy[] = "postmaster non-delivery notification";

    n->template = TEMPLATE_FAILURE;
    if (is_double_bounce(n)) {
        log_warning(&n->log, "undeliverable postmaster notification discarded");
        return RC_OK;
    }
    if (n->request->sender.n == 0) {
        to = postmaster_of(n, config->bounce2_notice_recipient, copy);
        to.headers_only = headers_only(n);
        return n->state->double_bounces ? tell(n, &to, why) : RC_OK;
    }
    TRY(tell(n, &to, why));
    if (n->state->copy_bounces)
        copy_postmaster(n, config->bounce_notice_recipient, copy);
    return RC_OK;
}

enum rc notify_delay(struct notice *n, struct why *why)
{
    const struct config *config = n->env->config;
    struct addressee to = sender_of(n, DSN_NOTIFY_DELAY, "sender delay notification");
    static const char copy[] = "postmaster delay notification";

    n->template = TEMPLATE_DELAY;
    to.headers_only = true;
    if (is_double_bounce(n))
        return RC_OK;
    if (n->request->sender.n)
        TRY(tell(n, &to, why));
    if (n->state->copy_delays)
        copy_postmaster(n, config->delay_notice_recipient, copy);
    return RC_OK;
}

/* "sendmail -v" and "-bv" want a status of everybody; else it is about NOTIFY=SUCCESS. */
static bool wants_all(const struct notice *n)
{
    static const char *const words[] = {"deliverable", "undeliverable", "delayed", "failed"};

    if (n->request->flags & (DELIVER_USER_VERIFY | DELIVER_RECORD))
        return true;
    for (size_t i = 0; i < n->n_entries; i++)
        for (size_t w = 0; w < sizeof words / sizeof *words; w++)
            if (str_eq(n->entries[i].dsn.action, str_of(words[w])))
                return true;
    return false;
}

enum rc notify_trace(struct notice *n, struct why *why)
{
    bool all = wants_all(n), late = n->request->flags & DELIVER_RECORD_SENT;
    struct addressee to =
        sender_of(n, all || late ? 0 : DSN_NOTIFY_SUCCESS, "sender delivery status notification");

    n->template = all ? TEMPLATE_VERIFY : TEMPLATE_SUCCESS;
    to.headers_only = true;
    if (all)
        to.source = SUBMIT_FROM_VERIFY;
    if (is_double_bounce(n) || n->request->sender.n == 0)
        return RC_OK;
    return tell(n, &to, why);
}

/* "list@a.example", recipient "user@b.example": "list+user=b.example@a.example". */
static struct str verp_address(const struct notice *n, struct str recipient)
{
    struct str marks =
        n->request->verp.n == 2 ? n->request->verp : n->env->config->default_verp_delimiters;
    struct address_parts s = address_split(n->request->sender), r = address_split(recipient);
    char first = marks.n > 0 ? marks.p[0] : '+', second = marks.n > 1 ? marks.p[1] : '=';
    struct str local = arena_printf(n->arena, STR_FMT "%c" STR_FMT "%c" STR_FMT, STR_ARG(s.local),
                                    first, STR_ARG(r.local), second, STR_ARG(r.domain));

    if (!r.has_domain)
        local.n--;
    return s.has_domain ? address_join(n->arena, local, s.domain) : local;
}

enum rc notify_verp(struct notice *n, struct why *why)
{
    struct bounce_log_entry *entries = n->entries;
    size_t n_entries = n->n_entries;
    enum rc rc = RC_OK;

    if (n->request->sender.n == 0 || is_double_bounce(n))
        return notify_failure(n, why);
    n->template = TEMPLATE_FAILURE;
    n->n_entries = 1;
    for (size_t i = 0; i < n_entries && rc == RC_OK; i++) {
        struct addressee to = sender_of(n, DSN_NOTIFY_FAILURE, "sender non-delivery notification");
        struct recipient *r = &entries[i].recipient;
        n->entries = &entries[i];
        to.recipient = verp_address(n, r->original.n ? r->original : r->address);
        rc = tell(n, &to, why);
    }
    n->entries = entries;
    n->n_entries = n_entries;
    if (rc == RC_OK && n->state->copy_bounces)
        copy_postmaster(n, n->env->config->bounce_notice_recipient,
                        "postmaster non-delivery notification");
    return rc;
}
