/* A notification: multipart/report with text, delivery status and the original (RFC 3464, 6533). */
#include "bounce/bounce.h"
#include "config/config.h"
#include "global/address.h"
#include "global/date.h"
#include "global/dsn.h"
#include "util/clock.h"

enum {
    SENDOPT_UTF8 = 1 | 2 | 4 | 8,
    SENDOPT_TLS_NOT_REQUIRED = 16,
    WIDTH = 79,
    REFERENCES_MAX = 998 - 16
};

struct report {
    struct notice *n;
    const struct addressee *to;
    const struct template *template;
    struct post *post;
    struct str boundary;
    bool utf8, eight_bit;
};

static bool is_wanted(const struct report *r, const struct bounce_log_entry *e)
{
    long notify = e->recipient.dsn_notify;

    if (r->to->notify == 0 || (notify & r->to->notify))
        return true;
    return notify == 0 && r->to->notify != DSN_NOTIFY_SUCCESS; /* RFC 3461 4.1: the default */
}

static size_t count_wanted(const struct report *r)
{
    size_t count = 0;

    for (size_t i = 0; i < r->n->n_entries; i++)
        count += is_wanted(r, &r->n->entries[i]);
    return count;
}

/* Fold at blanks; further lines begin with four blanks. */
static void put_folded(struct report *r, struct str text)
{
    size_t indent = 0;

    while (text.n > WIDTH - indent) {
        size_t cut = WIDTH - indent;
        while (cut > 0 && !is_blank(text.p[cut]))
            cut--;
        if (cut == 0) /* one long word */
            for (cut = WIDTH - indent; cut < text.n && !is_blank(text.p[cut]);)
                cut++;
        post_linef(r->post, "%*s" STR_FMT, (int)indent, "", STR_ARG(str_head(text, cut)));
        text = str_ltrim(str_from(text, cut));
        indent = 4;
    }
    if (text.n)
        post_linef(r->post, "%*s" STR_FMT, (int)indent, "", STR_ARG(text));
}

/* ---- header ---- */

/* RFC 5322 3.6.4: a reply refers to what it answers. */
static void put_thread(struct report *r)
{
    struct str id = original_header(r->n, "Message-Id"), references;

    if (!r->n->env->config->enable_threaded_bounces || id.n == 0)
        return;
    references = original_header(r->n, "References");
    if (references.n == 0)
        references = original_header(r->n, "In-Reply-To");
    if (references.n + id.n > REFERENCES_MAX)
        references = STR("");
    post_linef(r->post, "References: " STR_FMT "%s" STR_FMT, STR_ARG(references),
               references.n ? " " : "", STR_ARG(id));
    post_linef(r->post, "In-Reply-To: " STR_FMT, STR_ARG(id));
}

static void put_header(struct report *r)
{
    struct arena *a = r->n->arena;
    const struct template *t = r->template;
    struct str subject =
        r->to->postmaster && t->postmaster_subject.n ? t->postmaster_subject : t->subject;

    post_linef(r->post, "From: " STR_FMT, STR_ARG(t->from));
    post_linef(r->post, "Subject: " STR_FMT, STR_ARG(subject));
    post_linef(r->post, "To: " STR_FMT, STR_ARG(address_quote_822(a, r->to->recipient)));
    post_linef(r->post, "Auto-Submitted: auto-%s", r->to->postmaster ? "generated" : "replied");
    if (r->n->request->sendopts & SENDOPT_TLS_NOT_REQUIRED)
        post_linef(r->post, "TLS-Required: no");
    put_thread(r);
    post_linef(r->post, "MIME-Version: 1.0");
    post_linef(r->post, "Content-Type: multipart/report; report-type=delivery-status;");
    post_linef(r->post, "\tboundary=\"" STR_FMT "\"", STR_ARG(r->boundary));
    if (r->eight_bit)
        post_linef(r->post, "Content-Transfer-Encoding: 8bit");
    post_linef(r->post, "%s", "");
    post_linef(r->post, "This is a MIME-encapsulated message.");
}

static void put_part(struct report *r, const char *description, struct str type, struct str charset,
                     bool eight_bit)
{
    post_linef(r->post, "%s", "");
    post_linef(r->post, "--" STR_FMT, STR_ARG(r->boundary));
    post_linef(r->post, "Content-Description: %s", description);
    post_linef(r->post, "Content-Type: " STR_FMT "%s" STR_FMT, STR_ARG(type),
               charset.n ? "; charset=" : "", STR_ARG(charset));
    if (eight_bit)
        post_linef(r->post, "Content-Transfer-Encoding: 8bit");
    post_linef(r->post, "%s", "");
}

/* ---- text for people ---- */

static void put_reason(struct report *r, const struct bounce_log_entry *e)
{
    struct arena *a = r->n->arena;
    struct str address = address_quote(a, e->recipient.address), line;

    line = arena_printf(a, "<" STR_FMT ">", STR_ARG(address));
    if (e->recipient.original.n && !str_eq_nocase(e->recipient.original, e->recipient.address))
        line = arena_printf(a, STR_FMT " (expanded from <" STR_FMT ">)", STR_ARG(line),
                            STR_ARG(address_quote(a, e->recipient.original)));
    post_linef(r->post, "%s", "");
    put_folded(r, arena_printf(a, STR_FMT ": " STR_FMT, STR_ARG(line), STR_ARG(e->dsn.reason)));
}

static void put_text(struct report *r)
{
    bool ascii = str_eq_nocase(r->template->charset, STR("us-ascii"));
    struct str charset = ascii && r->utf8 ? STR("utf-8") : r->template->charset;
    struct str text = template_expand(r->n->env->config, r->template, r->n->arena);

    put_part(r, "Notification", STR("text/plain"), charset, !ascii || r->utf8);
    while (text.n) {
        struct str line = str_cut(&text, '\n');
        if (str_has_suffix(line, STR("\r"))) /* the template file may come from elsewhere */
            line.n--;
        post_line(r->post, line, false);
    }
    for (size_t i = 0; i < r->n->n_entries; i++)
        if (is_wanted(r, &r->n->entries[i]))
            put_reason(r, &r->n->entries[i]);
}

/* ---- delivery status ---- */

static const char *address_type(const struct report *r, struct str address)
{
    return r->utf8 && !str_is_ascii(address) ? "utf-8" : "rfc822";
}

static void put_date(struct report *r, const char *name, time_t when)
{
    char date[DATE_SIZE];

    date_rfc5322(date, when);
    post_linef(r->post, "%s: %s", name, date);
}

static void put_message_fields(struct report *r)
{
    const struct config *config = r->n->env->config;
    const struct bounce_flush *q = r->n->request;

    post_linef(r->post, "Reporting-MTA: dns; " STR_FMT, STR_ARG(config->myhostname));
    if (q->envid.n)
        post_linef(r->post, "Original-Envelope-Id: " STR_FMT, STR_ARG(q->envid));
    post_linef(r->post, "X-" STR_FMT "-Queue-ID: " STR_FMT, STR_ARG(config->mail_name),
               STR_ARG(q->queue_id));
    if (q->sender.n)
        post_linef(r->post, "X-" STR_FMT "-Sender: %s; " STR_FMT, STR_ARG(config->mail_name),
                   address_type(r, q->sender), STR_ARG(address_quote(r->n->arena, q->sender)));
    if (r->n->original.arrival.tv_sec > 0)
        put_date(r, "Arrival-Date", r->n->original.arrival.tv_sec);
}

/* The address as the sender wrote it, "type;address" with any blanks. */
static void put_original_recipient(struct report *r, const struct recipient *to)
{
    struct str type, address = to->dsn_orcpt;

    if (address.n) {
        type = str_cut(&address, ';');
        post_linef(r->post, "Original-Recipient: " STR_FMT ";" STR_FMT, STR_ARG(type),
                   STR_ARG(address));
    } else if (to->original.n && !str_eq_nocase(to->original, to->address)) {
        post_linef(r->post, "Original-Recipient: %s;" STR_FMT, address_type(r, to->original),
                   STR_ARG(address_quote(r->n->arena, to->original)));
    }
}

static void put_recipient_fields(struct report *r, const struct bounce_log_entry *e)
{
    const struct config *config = r->n->env->config;
    struct arena *a = r->n->arena;
    struct str action = r->n->template == TEMPLATE_FAILURE ? STR("failed") : e->dsn.action;

    post_linef(r->post, "%s", "");
    post_linef(r->post, "Final-Recipient: %s; " STR_FMT, address_type(r, e->recipient.address),
               STR_ARG(address_quote(a, e->recipient.address)));
    put_original_recipient(r, &e->recipient);
    post_linef(r->post, "Action: " STR_FMT, STR_ARG(action));
    post_linef(r->post, "Status: " STR_FMT, STR_ARG(e->dsn.status));
    if (e->dsn.mta_type.n && e->dsn.mta_name.n)
        post_linef(r->post, "Remote-MTA: " STR_FMT "; " STR_FMT, STR_ARG(e->dsn.mta_type),
                   STR_ARG(e->dsn.mta_name));
    if (e->dsn.diag_type.n && e->dsn.diag_text.n)
        put_folded(r, arena_printf(a, "Diagnostic-Code: " STR_FMT "; " STR_FMT,
                                   STR_ARG(e->dsn.diag_type), STR_ARG(e->dsn.diag_text)));
    else
        put_folded(r, arena_printf(a, "Diagnostic-Code: X-" STR_FMT "; " STR_FMT,
                                   STR_ARG(config->mail_name), STR_ARG(e->dsn.reason)));
    if (r->n->template == TEMPLATE_DELAY && r->n->original.arrival.tv_sec > 0)
        put_date(r, "Will-Retry-Until",
                 r->n->original.arrival.tv_sec + config->maximal_queue_lifetime);
}

static void put_status(struct report *r)
{
    put_part(r, "Delivery report",
             r->utf8 ? STR("message/global-delivery-status") : STR("message/delivery-status"),
             STR(""), r->utf8);
    put_message_fields(r);
    for (size_t i = 0; i < r->n->n_entries; i++)
        if (is_wanted(r, &r->n->entries[i]))
            put_recipient_fields(r, &r->n->entries[i]);
}

/* ---- original ---- */

static enum rc put_original(struct report *r, struct why *why)
{
    const struct notice *n = r->n;
    long limit = n->env->config->bounce_size_limit;
    bool headers = r->to->headers_only || n->original.size > limit;
    const char *word = n->template == TEMPLATE_FAILURE ? "Undelivered "
                       : n->template == TEMPLATE_DELAY ? "Delayed "
                                                       : "";
    struct str description = arena_printf(n->arena, "%sMessage%s", word, headers ? " Headers" : "");
    struct str type = headers
                          ? (r->utf8 ? STR("message/global-headers") : STR("text/rfc822-headers"))
                      : r->utf8 ? STR("message/global")
                                : STR("message/rfc822");

    if (n->original.fd < 0)
        return RC_OK;
    put_part(r, description.p, type, STR(""), r->eight_bit);
    post_linef(r->post, "Return-Path: <" STR_FMT ">",
               STR_ARG(address_quote(n->arena, n->request->sender)));
    return original_copy(r->n, r->post, headers, limit, why);
}

/* ---- all together ---- */

static enum rc open_post(struct report *r, struct why *why)
{
    const struct notice *n = r->n;
    struct recipient recipient = {.address = r->to->recipient,
                                  .original = r->to->recipient,
                                  .dsn_notify = r->to->postmaster ? DSN_NOTIFY_NEVER : 0};
    struct post_envelope envelope = {
        .source = r->to->source,
        .begin = {.sender = r->to->sender,
                  .encoding = r->eight_bit ? STR("8bit") : STR("7bit"),
                  .sendopts = n->request->sendopts,
                  .origin = {.rewrite_context = STR("local")}},
        .recipients = &recipient,
        .n_recipients = 1,
    };

    TRY(post_open(n->env, n->state->cleanup, &envelope, n->arena, &r->post, why));
    log_info(&n->log, "%s: %s", r->to->what, post_queue_id(r->post));
    return RC_OK;
}

enum rc report_send(struct notice *n, const struct addressee *to, struct why *why)
{
    struct report r = {.n = n, .to = to, .template = &n->state->templates.of[n->template]};

    if (count_wanted(&r) == 0)
        return RC_NONE;
    r.utf8 = n->request->sendopts & SENDOPT_UTF8;
    r.eight_bit = r.utf8 || str_eq_nocase(n->request->encoding, STR("8bit")) ||
                  !str_is_ascii(r.template->body);
    r.boundary = arena_printf(n->arena, STR_FMT ".%ld/" STR_FMT, STR_ARG(n->request->queue_id),
                              (long)clock_seconds(), STR_ARG(n->env->config->myhostname));
    TRY(open_post(&r, why));
    board_count(&n->env->board, COUNTER_queue_bounce, 1);
    put_header(&r);
    put_text(&r);
    put_status(&r);
    TRY(put_original(&r, why));
    post_linef(r.post, "%s", "");
    post_linef(r.post, "--" STR_FMT "--", STR_ARG(r.boundary));
    return post_finish(r.post, why);
}
