/* The content on its way into the queue file. */
#include "submit/intake.h"

enum { RECORD_LINE_MAX = 2048 }; /* longer header lines are cut into continuing records */

static void content_put_text(struct submission *s, struct str text, bool more)
{
    queue_file_put(s->file, more ? REC_CONT : REC_NORM, text);
}

void fields_put(struct submission *s, struct str header)
{
    do {
        struct str line = str_cut(&header, '\n');
        while (line.n > RECORD_LINE_MAX) {
            content_put_text(s, str_head(line, RECORD_LINE_MAX), true);
            line = str_from(line, RECORD_LINE_MAX);
        }
        content_put_text(s, line, false);
    } while (header.p);
}

static void on_header(void *context, enum mime_header_class class, struct str header)
{
    fields_take(context, class, header);
}

static void on_end_of_header(void *context)
{
    fields_complete(context);
}

static void reject_mime(struct submission *s, const char *dsn, const char *text, struct str line)
{
    AUTO_ARENA a = arena_new(256);

    if (s->status & SUBMIT_CONTENT)
        return;
    checks_log_mime(s, text, line);
    submission_fail(s, SUBMIT_CONTENT, arena_printf(a, "%s %s", dsn, text));
}

static void on_unterminated(void *context, struct str line)
{
    static const char text[] = "message header was not terminated by empty line";
    struct submission *s = context;
    struct str action = s->lib->config->non_empty_end_of_header_action;

    if (str_eq(action, STR("reject")))
        reject_mime(s, "5.6.0", text, line);
    else if (str_eq(action, STR("add_header")))
        fields_put(s, STR("MIME-Error: message header was not terminated by empty line"));
}

static void on_error(void *context, enum mime_error error, struct str text)
{
    struct submission *s = context;

    if (error & s->lib->mime_errors)
        reject_mime(s, mime_error_dsn(error), mime_error_text(error), text);
}

static void on_body(void *context, struct str line, bool more)
{
    struct submission *s = context;
    struct str text = line;

    if (s->lib->body_checks && (s->flags & SUBMIT_FILTER) && !s->checks_over && line.n &&
        mime_part_offset(s->mime) < (size_t)s->lib->config->body_checks_size_limit &&
        !checks_apply(s, s->lib->body_checks, "body_checks", "body", &text))
        return;
    content_put_text(s, text, more);
}

static void content_begin(struct submission *s)
{
    static const struct mime_events events = {.header = on_header,
                                              .unterminated = on_unterminated,
                                              .end_of_header = on_end_of_header,
                                              .body = on_body,
                                              .error = on_error};
    struct mime_options o = s->lib->mime;

    if (s->content_begun)
        return;
    envelope_write(s);
    envelope_put_warn_time(s);
    if (!(s->flags & SUBMIT_FILTER)) { /* mail of our own is not judged */
        o.strict_7bit_headers = o.strict_8bitmime = o.strict_8bitmime_body = false;
        o.strict_encoding_domain = false;
        o.parse_nested = o.parse_nested && o.downgrade;
    }
    queue_file_put(s->file, REC_MESSAGE, STR(""));
    s->content_begun = true;
    s->data_offset = queue_file_offset(s->file);
    s->mime = mime_new(s->arena, &o, &events, s);
}

/* ---- bytes that are not welcome ---- */

static bool has_any(struct str line, struct str set)
{
    for (size_t i = 0; i < set.n; i++)
        if (memchr(line.p, set.p[i], line.n))
            return true;
    return false;
}

/* The line without strip characters, stray CR and LF turned to blanks. */
static struct str washed(struct submission *s, struct str line)
{
    const struct submit_library *lib = s->lib;

    buf_reset(&s->text);
    for (size_t i = 0; i < line.n; i++) {
        char c = line.p[i];
        if (lib->strip.n && memchr(lib->strip.p, c, lib->strip.n))
            continue;
        if ((c == '\r' || c == '\n') && lib->config->cleanup_replace_stray_cr_lf)
            c = ' ';
        buf_addc(&s->text, c);
    }
    return buf_str(&s->text);
}

static void reject_character(struct submission *s, struct str line)
{
    if (s->status & SUBMIT_CONTENT)
        return;
    checks_log(s, "reject", "content", line, STR("5.7.1 disallowed character"));
    submission_fail(s, SUBMIT_CONTENT, STR("5.7.1 disallowed character"));
}

static void take_line(struct submission *s, struct str line, bool more)
{
    const struct submit_library *lib = s->lib;

    if (line.n) {
        if (lib->forbidden.n && has_any(line, lib->forbidden))
            reject_character(s, line);
        if (has_any(line, STR("\r\n")) || (lib->strip.n && has_any(line, lib->strip)))
            line = washed(s, line);
    }
    (void)mime_line(s->mime, line, more);
}

static bool is_too_big(struct submission *s)
{
    long limit = s->size_limit;

    if (limit <= 0 || queue_file_size(s->file) <= limit || (s->status & SUBMIT_SIZE))
        return false;
    log_warning(&s->log, "queue file size limit exceeded");
    submission_fail(s, SUBMIT_SIZE, STR_NONE);
    return true;
}

/* What others would take for part of our own header must not stand at the start of the content. */
static void before_client_text(struct submission *s, struct str *line)
{
    struct str rest = *line;

    s->client_text_begun = true;
    while (rest.n && rest.p[0] == '>')
        rest = str_from(rest, 1);
    if (str_has_prefix_nocase(rest, STR("From ")))
        *line = arena_join(s->arena, STR("X-Mailbox-Line: "), *line);
    else if (line->n && is_blank(line->p[0]))
        take_line(s, STR(""), false);
}

void submit_line(struct submission *s, struct str line, bool more)
{
    content_begin(s);
    if (s->prepended && !s->client_text_begun)
        before_client_text(s, &line);
    if (s->status & (submission_may_bounce(s) ? SUBMIT_SIZE : ~0u))
        return;
    take_line(s, line, more);
    if (is_too_big(s))
        return;
    if (queue_file_size(s->file) > 64 * 1024 && queue_file_error(s->file, NULL) != RC_OK)
        submission_fail(s, SUBMIT_WRITE, STR_NONE);
}

void submit_prepend_header(struct submission *s, struct str header)
{
    content_begin(s);
    s->prepended = true;
    do
        take_line(s, str_cut(&header, '\n'), false);
    while (header.p);
}

void content_end(struct submission *s)
{
    content_begin(s);
    (void)mime_end(s->mime);
    is_too_big(s);
}
