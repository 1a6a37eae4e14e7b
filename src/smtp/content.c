#include "global/address.h"
#include "global/header.h"
#include "global/mime.h"
#include "smtp/checks.h"
#include "smtp/generic.h"
#include "smtp/transaction.h"

/* A message that is changed on its way out. */
struct converter {
    struct attempt *at;
    struct wire_text *text;
    struct mime_state *mime;
    struct arena *scratch; /* of a line */
    bool downgrade;
    bool trouble; /* sticky: a table failed */
};

static enum rc put_line(void *context, struct str text, bool more, struct why *why)
{
    (void)why;
    wire_text_put(context, text, more);
    return RC_OK;
}

/* Lines of a logical header. */
static void put_lines(struct converter *c, struct str lines)
{
    do
        wire_text_put(c->text, str_cut(&lines, '\n'), false);
    while (lines.p);
}

static struct maps *checks_of(const struct smtp *s, enum mime_header_class class, struct str header)
{
    const struct header_field *f = header_find(str_head(header, header_name_length(header)));

    if (class == MIME_HEADER_NESTED)
        return s->nested_header_checks;
    return class == MIME_HEADER_MIME || (f && f->flags & HEADER_MIME) ? s->mime_header_checks
                                                                      : s->header_checks;
}

static void on_header(void *context, enum mime_header_class class, struct str header)
{
    struct converter *c = context;
    struct smtp *s = c->at->smtp;
    struct maps *checks = checks_of(s, class, header);
    struct str before = STR_NONE;
    struct why why;
    int verdict = CHECK_KEEP;

    if (!maps_empty(checks))
        verdict = checks_apply(&c->at->d->log, checks, "header", &header, &before, c->scratch);
    if (verdict == CHECK_TROUBLE)
        c->trouble = true;
    if (before.p)
        put_lines(c, before);
    if (verdict == CHECK_DROP)
        return;
    if (class == MIME_HEADER_PRIMARY && !maps_empty(s->generic_maps) &&
        generic_header(s, header, c->scratch, &header, &why) == RC_TEMP)
        c->trouble = true;
    put_lines(c, header);
    arena_reset(c->scratch);
}

static void on_body(void *context, struct str line, bool more)
{
    struct converter *c = context;
    struct smtp *s = c->at->smtp;
    long limit = s->config->body_checks_size_limit;
    struct str before = STR_NONE;
    int verdict = CHECK_KEEP;

    if (maps_empty(s->body_checks) || (limit > 0 && mime_part_offset(c->mime) >= (size_t)limit)) {
        wire_text_put(c->text, line, more);
        return;
    }
    verdict = checks_apply(&c->at->d->log, s->body_checks, "body", &line, &before, c->scratch);
    if (verdict == CHECK_TROUBLE)
        c->trouble = true;
    if (before.p)
        put_lines(c, before);
    if (verdict != CHECK_DROP)
        wire_text_put(c->text, line, more);
    arena_reset(c->scratch);
}

static enum rc check_state(const struct converter *c, unsigned errors, struct why *why)
{
    if (c->trouble)
        return FAIL(why, RC_TEMP, "table lookup error");
    if (errors && c->downgrade)
        return FAIL(why, RC_PERM, "%s %s", mime_error_dsn(errors), mime_error_text(errors));
    return RC_OK;
}

static enum rc convert_line(void *context, struct str text, bool more, struct why *why)
{
    struct converter *c = context;

    return check_state(c, mime_line(c->mime, text, more), why);
}

static enum rc convert(struct converter *c, struct why *why)
{
    static const struct mime_events events = {.header = on_header, .body = on_body};
    const struct config *config = c->at->smtp->config;
    const struct mime_options options = {
        .parse_nested = c->downgrade || !config->disable_mime_input_processing,
        .downgrade = c->downgrade,
        .nesting_limit = config->mime_nesting_limit,
        .boundary_limit = config->mime_boundary_length_limit,
        .header_size_limit = config->header_size_limit,
    };

    c->mime = mime_new(c->at->arena, &options, &events, c);
    TRY(deliver_content(c->at->d, convert_line, c, why));
    return check_state(c, mime_end(c->mime), why);
}

/* Does every byte go out as it stands in the queue file? */
static bool is_unchanged(const struct smtp *s, bool downgrade)
{
    return !downgrade && maps_empty(s->generic_maps) && maps_empty(s->header_checks) &&
           maps_empty(s->mime_header_checks) && maps_empty(s->nested_header_checks) &&
           maps_empty(s->body_checks);
}

/* Fields in front of the message, by flags=DOR of master.cf; then there is one recipient. */
static void put_prefix(struct attempt *at, struct wire_text *text)
{
    const struct deliver_request *q = &at->d->request;
    const struct recipient *r = &q->recipients[0];
    struct arena *a = at->arena;
    unsigned flags = at->smtp->flags;
    struct str original = r->original.n ? r->original : r->address;

    if (flags & FLAG_RETURN_PATH)
        wire_text_put(text,
                      arena_printf(a, "Return-Path: <" STR_FMT ">",
                                   STR_ARG(address_quote_822(a, at->sender))),
                      false);
    if (flags & FLAG_ORIGINAL_TO)
        wire_text_put(
            text,
            arena_printf(a, "X-Original-To: " STR_FMT, STR_ARG(address_quote_822(a, original))),
            false);
    if (flags & FLAG_DELIVERED_TO)
        wire_text_put(
            text,
            arena_printf(a, "Delivered-To: " STR_FMT, STR_ARG(address_quote_822(a, at->to[0]))),
            false);
}

enum rc content_send(struct attempt *at, struct session *s, struct why *why)
{
    long limit = at->smtp->set.line_length_limit;
    struct wire_text text = {.stream = &s->wire.stream,
                             .line_limit = limit > 0 ? (size_t)limit : 0};
    bool downgrade = str_eq(at->d->request.encoding, STR("8bit")) &&
                     !(s->features.bits & FEATURE_8BITMIME) &&
                     !at->smtp->config->disable_mime_output_conversion;

    put_prefix(at, &text);
    if (is_unchanged(at->smtp, downgrade)) {
        TRY(deliver_content(at->d, put_line, &text, why));
    } else {
        AUTO_ARENA scratch = arena_new(1024);
        struct converter c = {.at = at, .text = &text, .scratch = scratch, .downgrade = downgrade};
        TRY(convert(&c, why));
    }
    if (text.folded)
        log_info(&at->d->log, "breaking line > %ld bytes with <CR><LF>SPACE", limit);
    if (text.column)
        wire_text_put(&text, STR(""), false);
    return RC_OK;
}
