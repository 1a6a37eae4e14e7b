/* Which lists run at which command. */
#include "access/restrictions.h"
#include "auth/srs.h"
#include "config/config.h"
#include "global/address.h"
#include "util/clock.h"

static const char *const classes[ACCESS_LISTS] = {
    [ACCESS_CLIENT] = CLASS_CLIENT,       [ACCESS_HELO] = CLASS_HELO,
    [ACCESS_SENDER] = CLASS_SENDER,       [ACCESS_RELAY] = CLASS_RECIPIENT,
    [ACCESS_RECIPIENT] = CLASS_RECIPIENT, [ACCESS_DATA] = CLASS_DATA,
    [ACCESS_END_OF_DATA] = CLASS_END,     [ACCESS_ETRN] = CLASS_ETRN,
    [ACCESS_SENDER_FIRST] = CLASS_SENDER, [ACCESS_RECIPIENT_FIRST] = CLASS_RECIPIENT,
};

static struct str subject_of(const struct access_context *c, enum access_list list)
{
    switch (list) {
    case ACCESS_CLIENT: return c->client.label;
    case ACCESS_HELO: return c->helo;
    case ACCESS_SENDER_FIRST:
    case ACCESS_SENDER: return c->sender;
    case ACCESS_RELAY:
    case ACCESS_RECIPIENT_FIRST:
    case ACCESS_RECIPIENT: return c->recipient;
    case ACCESS_ETRN: return c->etrn_domain;
    default: return str_of(c->stage); /* DATA, END-OF-MESSAGE */
    }
}

static enum verdict run_list(struct access_context *c, enum access_list list)
{
    if (c->access->lists[list]->n == 0)
        return DUNNO;
    c->list = list;
    c->subject = subject_of(c, list);
    c->subject_class = classes[list];
    return access_run(c->access->lists[list], c);
}

/* What a parameter wants, beside the lists. */
static enum verdict by_setting(struct access_context *c, const char *parameter, enum verdict v)
{
    if (is_no(v))
        c->setting = parameter;
    return v;
}

/* PERMIT ends its list only. */
static bool refused_by(struct access_context *c, enum access_list list, enum verdict *v)
{
    *v = run_list(c, list);
    return is_no(*v);
}

static void forget_pending(struct access_context *c)
{
    c->if_permit = c->if_reject = (struct access_pending){0};
    c->closes = false;
    c->setting = NULL;
    c->action = STR_NONE;
    c->decided = (struct access_place){0};
    c->delay_seconds = 0;
}

/* Nothing has refused: is there a soft failure that must not become a yes? */
static enum verdict settle(struct access_context *c)
{
    if (c->if_permit.active && !c->actions.discard) {
        access_log(c, "reject", c->if_permit.reply);
        c->reply = c->if_permit.reply;
        return REJECT;
    }
    return DUNNO;
}

void access_begin_message(struct access_context *c)
{
    c->sender = c->recipient = c->sasl_sender = STR_NONE;
    c->recipient_count = 0;
    c->size = 0;
    c->queue_id = c->instance = STR_NONE;
    c->actions = (struct access_actions){0};
    c->sender_if_permit = (struct access_pending){0};
    c->sender_checked = false;
    c->resolved_address = c->resolved_sender = STR_NONE;
    c->reply = STR_NONE;
    forget_pending(c);
}

enum verdict access_at_connect(struct access_context *c)
{
    enum verdict v;

    if (c->access->is_unrestricted || c->access->config->smtpd_delay_reject)
        return DUNNO;
    forget_pending(c);
    return refused_by(c, ACCESS_CLIENT, &v) ? v : settle(c);
}

enum verdict access_at_helo(struct access_context *c)
{
    enum verdict v;

    if (c->access->is_unrestricted || c->access->config->smtpd_delay_reject)
        return DUNNO;
    forget_pending(c);
    return refused_by(c, ACCESS_HELO, &v) ? v : settle(c);
}

static enum verdict check_sender(struct access_context *c)
{
    enum verdict v = run_list(c, ACCESS_SENDER_FIRST);

    if (v == DUNNO) /* PERMIT: an exception from the checks for senders */
        v = by_setting(c, "smtpd_sender_check", check_sender_class(c));
    if (!is_no(v))
        v = run_list(c, ACCESS_SENDER);
    if (is_no(v) || !c->access->config->smtpd_reject_unlisted_sender || c->sender_checked)
        return is_no(v) ? v : DUNNO;
    c->sender_checked = true;
    c->subject = c->sender;
    c->subject_class = CLASS_SENDER;
    return by_setting(c, "smtpd_reject_unlisted_sender", check_listed(c, c->sender, CLASS_SENDER));
}

/* smtpd_sasl_auth_required: also for mail to our own users. */
static enum verdict check_login(struct access_context *c)
{
    const struct config *config = c->access->config;

    if (!config->smtpd_sasl_auth_required || config->smtpd_client_authorized || c->sasl_username.n)
        return DUNNO;
    return by_setting(c, "smtpd_sasl_auth_required",
                      access_refuse(c, 530, "5.7.0", STR("Authentication required")));
}

enum verdict access_at_mail(struct access_context *c)
{
    enum verdict v;

    if (c->access->is_unrestricted)
        return DUNNO;
    v = check_login(c);
    if (is_no(v) || c->access->config->smtpd_delay_reject)
        return v;
    forget_pending(c);
    v = check_sender(c);
    c->sender_if_permit = c->if_permit;
    return v;
}

static bool is_postmaster(struct str address)
{
    return str_eq_nocase(address, STR("postmaster"));
}

static enum verdict check_recipient_lists(struct access_context *c)
{
    bool relay_first = c->access->config->smtpd_relay_before_recipient_restrictions;
    enum access_list first = relay_first ? ACCESS_RELAY : ACCESS_RECIPIENT;
    enum access_list second = relay_first ? ACCESS_RECIPIENT : ACCESS_RELAY;
    enum verdict v;

    if (refused_by(c, ACCESS_RECIPIENT_FIRST, &v))
        return v;
    if (first == ACCESS_RELAY && may_relay(c))
        first = second;
    else if (second == ACCESS_RELAY && may_relay(c))
        second = first;
    if (refused_by(c, first, &v) || (second != first && refused_by(c, second, &v)))
        return v;
    return DUNNO;
}

/* What was put off until now. */
static enum verdict check_delayed(struct access_context *c)
{
    enum verdict v;

    if (!c->access->config->smtpd_delay_reject)
        return DUNNO;
    if (refused_by(c, ACCESS_CLIENT, &v))
        return v;
    if (c->helo.p && refused_by(c, ACCESS_HELO, &v))
        return v;
    c->sender_checked = false;
    return c->sender.p ? check_sender(c) : DUNNO;
}

static bool skips_unknown_check(const struct config *config)
{
    struct str rest = config->receive_override_options, word;

    while (str_token(&rest, LIST_SEPARATORS, &word))
        if (str_eq_nocase(word, STR("no_unknown_recipient_checks")))
            return true;
    return !config->smtpd_reject_unlisted_recipient;
}

/* A sender that this system has rewritten comes back as recipient: it is in no table. */
static enum verdict check_srs(struct access_context *c)
{
    struct str original;
    struct why why;

    switch (srs_reverse(c->access->srs, c->recipient, clock_seconds(), c->arena, &original, &why)) {
    case RC_OK: c->recipient_checked = true; return DUNNO;
    case RC_NONE: return DUNNO;
    default:
        return access_refuse(c, 550, "5.1.1",
                             arena_printf(c->arena, "<" STR_FMT ">: Recipient address rejected: %s",
                                          STR_ARG(c->recipient), why.text));
    }
}

enum verdict access_at_rcpt(struct access_context *c)
{
    enum verdict v;

    forget_pending(c);
    c->if_permit = c->sender_if_permit;
    c->recipient_checked = false;
    if (c->access->is_unrestricted || is_postmaster(c->recipient))
        return DUNNO;
    v = by_setting(c, "srs_secrets", check_srs(c));
    if (is_no(v))
        return v;
    v = check_delayed(c);
    if (!is_no(v))
        v = check_recipient_lists(c);
    if (is_no(v))
        return v;
    v = settle(c);
    if (is_no(v) || c->recipient_checked || c->actions.discard ||
        skips_unknown_check(c->access->config))
        return v;
    c->subject = c->recipient;
    c->subject_class = CLASS_RECIPIENT;
    return by_setting(c, "smtpd_reject_unlisted_recipient",
                      check_listed(c, c->recipient, CLASS_RECIPIENT));
}

enum verdict access_at_vrfy(struct access_context *c)
{
    return access_at_rcpt(c);
}

enum verdict access_at_etrn(struct access_context *c)
{
    enum verdict v;

    if (c->access->is_unrestricted)
        return DUNNO;
    forget_pending(c);
    if (c->access->config->smtpd_delay_reject &&
        (refused_by(c, ACCESS_CLIENT, &v) || (c->helo.p && refused_by(c, ACCESS_HELO, &v))))
        return v;
    return refused_by(c, ACCESS_ETRN, &v) ? v : settle(c);
}

/* At DATA and after, a recipient is known to the rules only when it is the only one; the owner sets
 * it. */
enum verdict access_at_data(struct access_context *c)
{
    enum verdict v;

    if (c->access->is_unrestricted || c->access->lists[ACCESS_DATA]->n == 0)
        return DUNNO;
    forget_pending(c);
    return refused_by(c, ACCESS_DATA, &v) ? v : settle(c);
}

enum verdict access_at_end_of_data(struct access_context *c)
{
    enum verdict v;

    if (c->access->is_unrestricted || c->access->lists[ACCESS_END_OF_DATA]->n == 0)
        return DUNNO;
    forget_pending(c);
    return refused_by(c, ACCESS_END_OF_DATA, &v) ? v : settle(c);
}

bool access_rewrites_locally(struct access_context *c)
{
    c->subject = c->client.label;
    c->subject_class = CLASS_CLIENT;
    c->list = ACCESS_LISTS;
    return access_run(c->access->local_rewrite, c) == PERMIT;
}
