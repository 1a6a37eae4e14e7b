/* Standard input becomes records. */
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "global/address.h"
#include "global/header.h"
#include "queue/queue.h"
#include "sendmail/sendmail.h"

#define FATAL(o, ...) log_fatal(&(o)->command.log, EX_TEMPORARY, __VA_ARGS__)

enum { TRACE_VERIFY = 512, TRACE_RECORD = 1024, READ_BYTES = 64 * 1024 };

struct reading {
    struct options *o;
    struct arena *arena;
    struct buf *out;
    bool strip_cr, first;
    /* for -t */
    bool in_header;
    struct buf header; /* the logical header line that is being collected */
    struct buf held;   /* records of the header, until all recipients are known */
    VEC(struct str) recipients, resent;
};

static void putf(struct buf *b, int type, const char *format, ...) PRINTF_LIKE(3, 4);

static void putf(struct buf *b, int type, const char *format, ...)
{
    char text[4096];
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    record_put(b, type, (struct str){text, n > 0 && (size_t)n < sizeof text ? (size_t)n : 0});
}

/* What a person would call this user: -F, $NAME, or the account's comment, where & is the name. */
static struct str full_name(struct options *o, struct arena *a, const struct passwd *pw)
{
    const char *name = o->full_name ? o->full_name : getenv("NAME");
    AUTO_BUF text;

    buf_init(&text, 1024);
    if (name || pw == NULL || pw->pw_gecos == NULL)
        return str_of(name);
    for (const char *p = pw->pw_gecos; *p && *p != ','; p++) {
        if (*p != '&') {
            buf_addc(&text, *p);
            continue;
        }
        buf_addc(&text, to_upper(pw->pw_name[0]));
        buf_add(&text, str_of(pw->pw_name[0] ? pw->pw_name + 1 : ""));
    }
    return arena_copy(a, buf_str(&text));
}

static struct str clean(struct arena *a,
                        struct str s) /* no line ends inside records of the envelope */
{
    char *p = arena_text(a, s);

    for (size_t i = 0; i < s.n; i++)
        if (p[i] == '\n' || p[i] == '\r' || p[i] == '\0')
            p[i] = ' ';
    return (struct str){p, s.n};
}

static void put_recipient(struct reading *r, struct str recipient)
{
    if (r->o->notify)
        putf(r->out, REC_ATTR, "notify_flags=%ld", r->o->notify);
    record_put(r->out, REC_RCPT, recipient);
}

/* The addresses in a command-line argument; "<>" gives none. */
static size_t addresses(struct reading *r, const char *text, const char *what,
                        struct header_address **list)
{
    struct why why;
    size_t n = 0;

    if (address_list_parse(clean(r->arena, str_of(text)), r->arena, list, &n, &why) != RC_OK)
        FATAL(r->o, "bad %s address: %s", what, text);
    return n;
}

static struct str sender(struct reading *r, const struct passwd *pw)
{
    struct header_address *list = NULL;
    size_t n;

    if (r->o->sender == NULL && pw == NULL)
        FATAL(r->o, "unable to find the login name for uid %lu; say who sends with -f",
              (unsigned long)getuid());
    if (r->o->sender == NULL)
        return arena_copy(r->arena, str_of(pw->pw_name));
    n = addresses(r, r->o->sender, "sender", &list);
    if (n > 1)
        FATAL(r->o, "bad sender address: %s", r->o->sender);
    return n ? list[0].address : STR("");
}

static void put_envelope(struct reading *r)
{
    struct options *o = r->o;
    const struct passwd *pw = getpwuid(getuid());
    struct str name = full_name(o, r->arena, pw), from = sender(r, pw);

    if (o->sendopts)
        putf(r->out, REC_SIZE, "%15d %15d %15d %15d %15d %15ld", -1, -1, -1, -1, -1, o->sendopts);
    if (o->envid)
        putf(r->out, REC_ATTR, "envelope_id=" STR_FMT, STR_ARG(clean(r->arena, str_of(o->envid))));
    if (o->ret)
        putf(r->out, REC_ATTR, "ret_flags=%ld", o->ret);
    record_put(r->out, REC_ATTR,
               o->gateway ? STR("rewrite_context=remote") : STR("rewrite_context=local"));
    if (name.n)
        record_put(r->out, REC_FULL, clean(r->arena, name));
    record_put(r->out, REC_SENDER, from);
    if (o->encoding)
        putf(r->out, REC_ATTR, "encoding=%s", o->encoding);
    if (o->mode == MODE_VERIFY || o->verbose == 1)
        putf(r->out, REC_ATTR, "trace_flags=%d",
             o->mode == MODE_VERIFY ? TRACE_VERIFY : TRACE_RECORD);
    if (o->verp)
        record_put(r->out, REC_VERP,
                   o->verp[0] ? str_of(o->verp) : o->command.config->default_verp_delimiters);
    for (char **p = o->recipients; *p; p++) {
        struct header_address *list = NULL;
        size_t n = addresses(r, *p, "recipient", &list);
        if (n == 0)
            FATAL(o, "bad recipient address: %s", *p);
        for (size_t i = 0; i < n; i++)
            put_recipient(r, list[i].address);
    }
    if (!o->from_headers)
        record_put(r->out, REC_MESSAGE, STR(""));
}

/* -t: recipients of a header line that is complete now. */
static void take_header(struct reading *r)
{
    struct str line = buf_str(&r->header);
    size_t name = header_name_length(line), n = 0;
    const struct header_field *field = name ? header_find(str_head(line, name)) : NULL;
    struct header_address *list = NULL;
    struct why why;

    if (field && (field->flags & HEADER_EXTRACT)) {
        struct str body = arena_copy(r->arena, str_from(line, (size_t)str_index(line, ':') + 1));
        if (address_list_parse(body, r->arena, &list, &n, &why) != RC_OK)
            FATAL(r->o, "cannot read the recipients in header %s: %s", field->name, why.text);
        for (size_t i = 0; i < n; i++) {
            if (list[i].address.n && (field->flags & HEADER_RESENT))
                vec_add(r->arena, &r->resent, list[i].address);
            else if (list[i].address.n)
                vec_add(r->arena, &r->recipients, list[i].address);
        }
    }
    buf_reset(&r->header);
}

/* The envelope ends with the recipients; a message that was sent again goes to the new ones. */
static void end_header(struct reading *r)
{
    take_header(r);
    for (size_t i = 0; r->resent.n == 0 && i < r->recipients.n; i++)
        put_recipient(r, r->recipients.v[i]);
    for (size_t i = 0; i < r->resent.n; i++)
        put_recipient(r, r->resent.v[i]);
    if (r->recipients.n + r->resent.n == 0 && r->o->recipients[0] == NULL)
        FATAL(r->o, "No recipient addresses found in message header");
    record_put(r->out, REC_MESSAGE, STR(""));
    buf_add(r->out, buf_str(&r->held));
    r->in_header = false;
}

static void follow_header(struct reading *r, struct str line)
{
    if (!r->in_header)
        return;
    if (line.n && is_blank(line.p[0]) && r->header.n) {
        buf_addc(&r->header, '\n');
        buf_add(&r->header, line);
        return;
    }
    if (header_name_length(line) == 0) {
        end_header(r);
        return;
    }
    take_header(r);
    buf_add(&r->header, line);
}

/* One line, without its end; more: it goes on. False: a lone dot ends the message. */
static bool take_line(struct reading *r, struct str line, bool more, bool continued)
{
    bool cr = !more && line.n && line.p[line.n - 1] == '\r';
    struct str fix = r->o->command.config->sendmail_fix_line_endings;

    if (r->first && !continued)
        r->strip_cr = str_eq(fix, STR("always")) || (str_eq(fix, STR("strict")) && cr);
    if (cr && r->strip_cr)
        line.n--;
    if (!more && !continued && !r->o->dot_is_text && str_eq(line, STR(".")))
        return false;
    if (r->first && !continued &&
        (str_has_prefix(line, STR("From ")) || str_has_prefix(line, STR(">From "))))
        return true; /* the separator of a mailbox file is no header */
    if (!continued)
        follow_header(r, line);
    record_put(r->in_header ? &r->held : r->out, more ? REC_CONT : REC_NORM, line);
    r->first = false;
    return true;
}

static void read_content(struct reading *r)
{
    size_t limit = (size_t)r->o->command.config->line_length_limit, n = 0;
    char *buffer = arena_alloc(r->arena, READ_BYTES + limit);
    bool continued = false, going = true;
    ssize_t got = 0;

    while (going && (got = read(STDIN_FILENO, buffer + n, READ_BYTES)) > 0) {
        struct str bytes = {buffer, n + (size_t)got};
        const char *lf;
        while (going && ((lf = memchr(bytes.p, '\n', bytes.n)) != NULL || bytes.n > limit)) {
            size_t length = lf ? (size_t)(lf - bytes.p) : bytes.n;
            bool more = length > limit;
            going = take_line(r, str_head(bytes, more ? limit : length), more, continued);
            continued = more;
            bytes = str_from(bytes, more ? limit : length + 1);
        }
        memmove(buffer, bytes.p, bytes.n);
        n = bytes.n;
        if (r->out->over)
            FATAL(r->o, "message file too big");
    }
    if (got < 0)
        FATAL(r->o, "read standard input: %m");
    if (going && (n || continued))
        take_line(r, (struct str){buffer, n}, false, continued);
    if (r->in_header)
        end_header(r);
}

void message_records(struct options *o, struct arena *a, struct buf *b)
{
    struct reading r = {.o = o, .arena = a, .out = b, .first = true, .in_header = o->from_headers};

    buf_init(&r.header, b->max);
    buf_init(&r.held, b->max);
    put_envelope(&r);
    read_content(&r);
    record_put(b, REC_EXTRACTED, STR(""));
    record_put(b, REC_END, STR(""));
    if (b->over || r.held.over || r.header.over)
        FATAL(o, "message file too big");
    buf_done(&r.header);
    buf_done(&r.held);
}
