/* The envelope: what stands in the queue file before the content, and one recipient after another.
 */
#include <stdio.h>

#include "global/address.h"
#include "global/dsn.h"
#include "submit/intake.h"

enum { SIZE_RECORD_BYTES = 95 };

static void forget_duplicates(void *map)
{
    map_done(map);
}

static void put_attribute(struct submission *s, const char *name, struct str value)
{
    char text[2048];
    size_t n = strlen(name);

    if (n + 1 + value.n > sizeof text) {
        queue_file_putf(s->file, REC_ATTR, "%s=" STR_FMT, name, STR_ARG(value));
        return;
    }
    memcpy(text, name, n);
    text[n++] = '=';
    if (value.n)
        memcpy(text + n, value.p, value.n);
    queue_file_put(s->file, REC_ATTR, (struct str){text, n + value.n});
}

static void put_text(struct submission *s, const char *name, struct str value)
{
    if (value.n)
        put_attribute(s, name, value);
}

static void put_number(struct submission *s, const char *name, long value)
{
    char text[32];

    if (value) {
        int n = snprintf(text, sizeof text, "%ld", value);
        put_attribute(s, name, (struct str){text, (size_t)n});
    }
}

/* What log lines of cleanup call the origin. */
static struct str sender_of_log(struct submission *s)
{
    const struct origin *o = &s->origin;

    if (o->client_name.n)
        return arena_printf(s->arena, STR_FMT "[" STR_FMT "]", STR_ARG(o->client_name),
                            STR_ARG(o->client_address));
    return STR("local");
}

static struct str copy_text(struct submission *s, struct str text)
{
    return text.n ? arena_copy(s->arena, text) : STR("");
}

/* The caller may have filled begin since submit_begin(); from here on the copies count. */
static void take_origin(struct submission *s)
{
    const struct origin *o = &s->begin->origin;

    s->origin = (struct origin){
        .client_name = copy_text(s, o->client_name),
        .client_address = copy_text(s, o->client_address),
        .client_port = copy_text(s, o->client_port),
        .protocol = copy_text(s, o->protocol),
        .helo = copy_text(s, o->helo),
        .sasl_method = copy_text(s, o->sasl_method),
        .sasl_username = copy_text(s, o->sasl_username),
        .sasl_sender = copy_text(s, o->sasl_sender),
        .log_ident = copy_text(s, o->log_ident),
        .rewrite_context = copy_text(s, o->rewrite_context),
    };
    if (s->origin.log_ident.n == 0 && o->client_name.n)
        s->origin.log_ident = str_of(queue_file_id(s->file));
    s->from = sender_of_log(s);
    s->rewrite_remote = str_eq(s->origin.rewrite_context, STR("remote"));
    s->rewrites_headers = !s->rewrite_remote || s->lib->config->remote_header_rewrite_domain.n > 0;
    s->full_name = copy_text(s, s->begin->full_name);
    s->encoding = copy_text(s, s->begin->encoding);
    s->envid = copy_text(s, s->begin->envid);
    s->verp = copy_text(s, s->begin->verp);
    s->dsn_ret = s->begin->dsn_ret;
    s->trace_flags = s->begin->trace_flags;
}

static void rewrite_sender(struct submission *s)
{
    struct str sender = s->begin->sender;

    if (sender.n == 0) {
        s->sender = STR("");
        return;
    }
    sender = mapping_rewrite(s, false, sender);
    if (s->flags & SUBMIT_MAP_OK)
        sender = mapping_sender(s, sender, ENVELOPE_SENDER);
    s->sender = arena_copy(s->arena, sender);
    if ((s->flags & SUBMIT_AUTO_UTF8) && !str_is_ascii(sender))
        s->sendopts |= SENDOPT_UTF8_SENDER;
    if (s->lib->sender_bcc && (s->flags & SUBMIT_BCC_OK))
        mapping_bcc(s, s->lib->sender_bcc, "sender_bcc_maps", sender);
}

static void put_before_sender(struct submission *s)
{
    char zeros[SIZE_RECORD_BYTES + 1];
    const struct origin *o = &s->origin;

    snprintf(zeros, sizeof zeros, "%15d %15d %15d %15d %15d %15d", 0, 0, 0, 0, 0, 0);
    queue_file_put(s->file, REC_SIZE, (struct str){zeros, SIZE_RECORD_BYTES});
    queue_file_putf(s->file, REC_TIME, "%ld %ld", (long)s->arrival.tv_sec,
                    s->arrival.tv_nsec / 1000);
    put_number(s, "create_time", (long)queue_file_created(s->file).tv_sec);
    if (s->begin->filter.n) {
        if (!s->filter_changed)
            s->filter = arena_copy(s->arena, s->begin->filter);
        queue_file_put(s->file, REC_FILTER, s->begin->filter);
    }
    put_text(s, "log_ident", o->log_ident);
    if (o->client_name.n)
        put_text(s, "rewrite_context", o->rewrite_context);
    put_text(s, "sasl_method", o->sasl_method);
    put_text(s, "sasl_username", o->sasl_username);
    put_text(s, "sasl_sender", o->sasl_sender);
    put_text(s, "envelope_id", s->envid);
    put_number(s, "ret_flags", s->dsn_ret);
    if (o->client_name.n == 0)
        put_text(s, "rewrite_context", o->rewrite_context);
    if (s->full_name.n)
        queue_file_put(s->file, REC_FULL, s->full_name);
}

void envelope_write(struct submission *s)
{
    if (s->envelope_written)
        return;
    s->envelope_written = true;
    take_origin(s);
    rewrite_sender(s);
    put_before_sender(s);
    queue_file_put(s->file, REC_SENDER, s->sender);
    envelope_put_bcc(s);
    put_number(s, "trace_flags", s->trace_flags);
    put_text(s, "encoding", s->encoding);
    put_text(s, "log_client_name", s->origin.client_name);
    put_text(s, "log_client_address", s->origin.client_address);
    put_text(s, "log_client_port", s->origin.client_port);
    put_text(s, "log_message_origin", s->from);
    put_text(s, "log_helo_name", s->origin.helo);
    put_text(s, "log_protocol_name", s->origin.protocol);
    if ((long)s->attributes.n > s->lib->config->queue_file_attribute_count_limit) {
        log_warning(&s->log, "too many envelope attributes (limit: %ld) -- message not accepted",
                    s->lib->config->queue_file_attribute_count_limit);
        submission_fail(s, SUBMIT_BAD, STR("4.3.0 too many envelope attributes"));
    } else {
        for (size_t i = 0; i < s->attributes.n; i++)
            put_attribute(s, s->attributes.v[i].name, s->attributes.v[i].value);
    }
    if (s->verp.n)
        queue_file_put(s->file, REC_VERP, s->verp);
    s->begin = NULL;
}

void envelope_put_warn_time(struct submission *s)
{
    long delay = queue_warn_delay(s->lib->config, 0);
    char text[32];
    int n;

    if (delay <= 0 || s->sender.n == 0 || s->warn_offset)
        return;
    s->warn_time = (long)s->arrival.tv_sec + delay;
    s->warn_offset = queue_file_offset(s->file);
    n = snprintf(text, sizeof text, "%15ld", s->warn_time);
    queue_file_put(s->file, REC_WARN, (struct str){text, (size_t)n});
}

/*
 * Is this recipient in the file already? With enable_original_recipient the same address is
 * another recipient when it was written differently (it then gets another X-Original-To).
 */
static bool is_duplicate(struct submission *s, const struct recipient *r)
{
    long limit = s->lib->config->duplicate_filter_limit;
    struct str key = arena_copy(s->arena, r->address);

    if (s->lib->config->enable_original_recipient)
        key = arena_join(s->arena, arena_join(s->arena, key, STR("\n")), r->original);
    str_lower_bytes((char *)key.p, key.n);
    if (!s->has_duplicates_map) {
        map_init(&s->duplicates);
        arena_defer(s->arena, forget_duplicates, &s->duplicates);
        s->has_duplicates_map = true;
    }
    if (map_get(&s->duplicates, key))
        return true;
    if (limit <= 0 || (long)s->duplicates.n < limit)
        map_put(&s->duplicates, key, s);
    return false;
}

/* So that qmgr need not ask; what cannot be resolved here is left to it. */
static void resolve(struct submission *s, struct recipient *r)
{
    struct resolved to = {0};
    struct why why;

    if (resolve_action(s->lib->rewriter, r->action, r->address, s->arena, &to, &why) == RC_OK) {
        r->transport = to.transport;
        r->nexthop = to.nexthop;
        return;
    }
    if (s->filter.n || s->redirect.n ||
        resolve_address(s->lib->rewriter, s->sender, r->address, (s->trace_flags & 256) != 0,
                        s->arena, &to, &why) != RC_OK ||
        (to.flags & (RESOLVE_FAILED | RESOLVE_BAD_ADDRESS)))
        return;
    r->transport = to.transport;
    r->nexthop = to.nexthop;
    if (!str_eq(to.recipient, r->address))
        r->resolved = to.recipient;
}

static void put_recipient(struct submission *s, struct recipient *r)
{
    if (is_duplicate(s, r))
        return;
    if (s->n_recipients++ == 0 && !s->content_begun)
        envelope_put_warn_time(s);
    if ((s->flags & SUBMIT_AUTO_UTF8) && !str_is_ascii(r->address))
        s->sendopts |= SENDOPT_UTF8_RECIPIENT;
    put_number(s, "notify_flags", r->dsn_notify);
    put_text(s, "dsn_orig_rcpt", r->dsn_orcpt);
    if (str_eq(r->action, STR("-"))) /* nothing was decided, and nothing is to be */
        r->action = STR_NONE;
    put_text(s, "recipient_action", r->action);
    if (r->original.n)
        queue_file_put(s->file, REC_ORCPT, r->original);
    r->offset = queue_file_offset(s->file);
    queue_file_put(s->file, REC_RCPT, r->address);
    if (s->recipients.n < HANDED_OVER_RECIPIENTS || (s->flags & SUBMIT_BOUNCE)) {
        if (s->recipients.n < HANDED_OVER_RECIPIENTS)
            resolve(s, r);
        vec_add(s->arena, &s->recipients, *r);
    }
}

/* Each address that an alias stands for, or the recipient itself. */
static void put_expanded(struct submission *s, struct recipient *r)
{
    struct str_list to;

    if (s->lib->virtual_alias.maps == NULL || !(s->flags & SUBMIT_MAP_OK)) {
        put_recipient(s, r);
        return;
    }
    to = alias_expand(s, r->address);
    if (s->status & (SUBMIT_DEFER | SUBMIT_WRITE))
        return;
    if ((r->dsn_notify & DSN_NOTIFY_SUCCESS) &&
        (to.n > 1 || (to.n == 1 && !str_eq_nocase(to.v[0], r->address)))) {
        trace_expanded(s, r); /* RFC 3461 5.2.7.2: success ends here; qmgr sees it in notify_seen */
        r->dsn_notify &= ~(long)DSN_NOTIFY_SUCCESS;
        if (r->dsn_notify == 0)
            r->dsn_notify = DSN_NOTIFY_NEVER;
    }
    for (size_t i = 0; i < to.n; i++) {
        struct recipient one = *r;
        one.address = to.v[i];
        put_recipient(s, &one);
    }
}

/* RFC 3461 4.2: who named no original recipient meant this one; what a client said counts, what a
 * program of this machine said is completed first. */
static struct str as_orcpt(struct submission *s, struct str address)
{
    return arena_join(s->arena, STR("rfc822;"), address_quote(s->arena, address));
}

/* Mail of this machine: its match rules choose. What they reject is returned, not refused: there is
 * nobody to talk to. */
static struct str action_of(struct submission *s, struct str address)
{
    const struct config *c = s->lib->config;
    struct dispatch_facts facts = {.is_submission = true,
                                   .client_name = STR(""),
                                   .user = s->origin.sasl_username.n ? s->origin.sasl_username
                                                                     : STR_NONE,
                                   .sender = s->sender,
                                   .recipient = address,
                                   .domain = c->myorigin,
                                   .tag = c->smtpd_service_tag,
                                   .delimiters = c->recipient_delimiter};
    struct dispatch_answer answer = {0};
    struct why why = {0};

    if (str_eq_nocase(address_split(address).local, c->double_bounce_sender))
        return STR("-");
    if (dispatch_accepts(s->lib->dispatch, &facts, s->arena, &answer, &why) != RC_OK) {
        log_warning(&s->log, "non_smtpd_match_rules: %s", why.text);
        submission_fail(s, SUBMIT_WRITE, STR("4.3.0 match rules unavailable"));
        return STR("-");
    }
    log_trace(&s->log, LOG_TRACE_RULES,
              "rules: %s:%d: from=<" STR_FMT "> to=<" STR_FMT "> %s" STR_FMT, answer.file,
              answer.line, STR_ARG(s->sender), STR_ARG(address), answer.accepted ? "action " : "",
              STR_ARG(answer.accepted ? answer.action : answer.reply));
    if (answer.accepted)
        return answer.action;
    return arena_join(s->arena, STR("error:"), str_from(answer.reply, 4));
}

void envelope_recipient(struct submission *s, const struct recipient *r, bool is_bcc)
{
    struct str address = r->address;
    struct recipient one = {.dsn_notify = r->dsn_notify, .action = copy_text(s, r->action)};

    if (address.n == 0)
        address = s->lib->config->empty_address_recipient;
    one.original = arena_copy(s->arena, r->original.n ? r->original : address);
    one.dsn_orcpt = arena_copy(s->arena, r->dsn_orcpt);
    if (one.dsn_orcpt.n == 0 && s->origin.client_name.n && !is_bcc)
        one.dsn_orcpt = as_orcpt(s, address);
    address = mapping_rewrite(s, false, address);
    if (s->flags & SUBMIT_MAP_OK)
        address = mapping_recipient(s, address, ENVELOPE_RECIPIENT);
    one.address = arena_copy(s->arena, address);
    if (one.dsn_orcpt.n == 0 && !is_bcc)
        one.dsn_orcpt = as_orcpt(s, one.address);
    if (!is_bcc) {
        s->last_recipient = one.address;
        s->notify_seen |= one.dsn_notify;
        if (s->lib->recipient_bcc && (s->flags & SUBMIT_BCC_OK))
            mapping_bcc(s, s->lib->recipient_bcc, "recipient_bcc_maps", one.address);
    }
    if (one.action.n == 0 && s->lib->dispatch)
        one.action = action_of(s, one.address);
    put_expanded(s, &one);
    if (!is_bcc)
        envelope_put_bcc(s);
}

void envelope_put_bcc(struct submission *s)
{
    while (s->bcc_done < s->bcc.n && s->status == 0) {
        struct recipient r = {.address = s->bcc.v[s->bcc_done++], .dsn_notify = DSN_NOTIFY_NEVER};
        envelope_recipient(s, &r, true);
    }
}

/* Named after the content (sendmail -t): written when that is complete. */
static struct recipient copy_recipient(struct submission *s, const struct recipient *r)
{
    return (struct recipient){.address = copy_text(s, r->address),
                              .original = copy_text(s, r->original),
                              .dsn_orcpt = copy_text(s, r->dsn_orcpt),
                              .action = copy_text(s, r->action),
                              .dsn_notify = r->dsn_notify};
}

void submit_recipient(struct submission *s, const struct recipient *r)
{
    envelope_write(s);
    if (s->content_begun)
        vec_add(s->arena, &s->late, copy_recipient(s, r));
    else if (s->status == 0)
        envelope_recipient(s, r, false);
    else
        s->last_recipient = arena_copy(s->arena, r->address);
}

void submit_attribute(struct submission *s, const char *name, struct str value)
{
    if (s->envelope_written)
        submission_fail(s, SUBMIT_BAD, STR_NONE);
    else if (value.n)
        vec_add(
            s->arena, &s->attributes,
            ((struct attribute){arena_text(s->arena, str_of(name)), arena_copy(s->arena, value)}));
}
