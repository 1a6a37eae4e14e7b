/* One line for each record; markers where the parts of the file begin. */
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "global/date.h"
#include "global/header.h"
#include "postcat/postcat.h"
#include "queue/queue.h"

enum part { PART_ENVELOPE, PART_HEADER, PART_BODY, PART_EXTRACTED, PART_AFTER_END };

struct printer {
    const struct postcat *p;
    const char *name;
    FILE *out;
    enum part part;
    int previous; /* type of the record before */
};

/* -f -o -d, in this order. */
static void print_prefix(const struct printer *w, long offset, int type)
{
    if (w->p->file_name)
        fprintf(w->out, "%s: ", w->name);
    if (w->p->offset)
        fprintf(w->out, "%9ld ", offset);
    if (w->p->decimal)
        fprintf(w->out, "%3d ", type);
}

static void print_marker(const struct printer *w, long offset, int type, const char *text)
{
    if (!w->p->envelope)
        return;
    if (type != REC_SIZE)
        print_prefix(w, offset, type);
    fprintf(w->out, "*** %s %s ***\n", text, w->name);
}

static void print_bytes(const struct printer *w, struct str text)
{
    if (text.n)
        fwrite(text.p, 1, text.n, w->out);
    putc('\n', w->out);
}

static void print_time(const struct printer *w, const char *name, struct str payload)
{
    struct str number = str_trim(payload);
    char text[DATE_SIZE];
    long when = 0;

    (void)str_to_long(str_cut(&number, ' '), LONG_MIN / 2, LONG_MAX / 2, &when);
    date_ctime(text, when);
    fprintf(w->out, "%s: %s\n", name, text);
}

static void print_record(const struct printer *w, int type, struct str payload)
{
    static const struct str create_time = STR_INIT("create_time=");
    const char *name = record_type_name(type);
    bool content = w->part == PART_HEADER || w->part == PART_BODY || w->part == PART_AFTER_END;

    if (type == REC_PACKED) {
        fprintf(w->out, "%s: %zu bytes\n", name, payload.n);
        return;
    }
    if (type == REC_CONT && content)
        name = "unterminated_text";
    if (type == REC_TIME || type == REC_WARN) {
        print_time(w, name, payload);
    } else if (type == REC_ATTR && str_has_prefix(payload, create_time)) {
        print_time(w, "create_time", str_from(payload, create_time.n));
    } else {
        fprintf(w->out, "%s: ", name);
        print_bytes(w, payload);
    }
}

/* As it stands, unless -v. */
static void print_text(const struct printer *w, long offset, int type, struct str payload)
{
    if (w->p->verbose) {
        print_prefix(w, offset, type);
        print_record(w, type, payload);
        return;
    }
    print_prefix(w, offset, type);
    if (payload.n)
        fwrite(payload.p, 1, payload.n, w->out);
    if (type == REC_NORM || w->p->offset)
        putc('\n', w->out);
}

/* The body begins with the empty line, or with the first line that is no header. */
static bool is_header_line(const struct printer *w, struct str line)
{
    if (w->previous == REC_CONT)
        return true;
    return line.n && (is_blank(line.p[0]) || header_name_length(line) > 0);
}

static void handle_text(struct printer *w, long offset, int type, struct str payload)
{
    if (w->part == PART_HEADER && !is_header_line(w, payload))
        w->part = PART_BODY;
    if (w->part == PART_HEADER ? w->p->header : w->p->body)
        print_text(w, offset, type, payload);
    w->previous = type;
}

static bool is_shown(const struct printer *w)
{
    switch (w->part) {
    case PART_HEADER: return w->p->header;
    case PART_BODY: return w->p->body;
    default: return w->p->envelope;
    }
}

static void handle_record(struct printer *w, long offset, int type, struct str payload)
{
    bool content = w->part == PART_HEADER || w->part == PART_BODY;

    switch (type) {
    case REC_MESSAGE:
        w->part = PART_HEADER;
        w->previous = 0;
        print_marker(w, offset, type, "MESSAGE CONTENTS");
        return;
    case REC_EXTRACTED:
        w->part = PART_EXTRACTED;
        print_marker(w, offset, type, "HEADER EXTRACTED");
        return;
    case REC_END:
        w->part = PART_AFTER_END;
        print_marker(w, offset, type, "MESSAGE FILE END");
        return;
    case REC_POINTER:
    case REC_PAD:
        if (w->p->verbose && is_shown(w)) {
            print_prefix(w, offset, type);
            print_record(w, type, payload);
        }
        return;
    default: break;
    }
    if (content && (type == REC_NORM || type == REC_CONT)) {
        handle_text(w, offset, type, payload);
    } else if (is_shown(w)) {
        print_prefix(w, offset, type);
        print_record(w, type, payload);
    }
}

static bool unpacks(const struct postcat *p)
{
    return (p->header || p->body) && !(p->raw && p->verbose);
}

bool postcat_needs_keys(const struct postcat *p, int fd)
{
    AUTO_ARENA a = arena_new(1024);
    struct record_reader r;
    struct str payload;
    struct why why;
    int type = 0;

    record_reader_init(&r, fd, a, p->start);
    while (unpacks(p) && type != REC_EXTRACTED && type != REC_PACKED &&
           record_read(&r, false, &type, &payload, &why) == RC_OK)
        continue;
    return type == REC_PACKED && record_is_encrypted(payload);
}

/* Shows pointers and then goes where they lead, unless the order of the file is wanted. */
static enum rc next_record(const struct printer *w, struct record_reader *r, int *type,
                           struct str *payload, struct why *why)
{
    bool raw = w->p->raw && w->p->verbose;

    if (!w->p->verbose || raw)
        return record_read(r, !w->p->verbose, type, payload, why);
    return record_read_shown(r, type, payload, why);
}

enum rc postcat_print(const struct postcat *p, int fd, const char *name, FILE *out, struct why *why)
{
    AUTO_ARENA a = arena_new(1024);
    struct printer w = {.p = p, .name = name, .out = out};
    struct record_reader r;
    struct str payload;
    int type;

    record_reader_init(&r, fd, a, p->start);
    if (unpacks(p))
        record_reader_unpack(&r, p->keys);
    for (bool first = true;; first = false) {
        long at = record_tell(&r); /* before pointers are followed */
        enum rc rc = next_record(&w, &r, &type, &payload, why);
        if (rc == RC_NONE)
            return RC_OK;
        if (first && p->start == 0 &&
            (rc == RC_PERM || (rc == RC_OK && !record_may_begin_file(type))))
            return FAIL(why, RC_PERM, "%s", "");
        if (rc != RC_OK)
            return rc;
        if (first && p->start == 0)
            print_marker(&w, 0, REC_SIZE, "ENVELOPE RECORDS");
        if (record_type_name(type) == NULL)
            return FAIL(why, RC_PERM, "unknown record type %d at %ld", type, r.offset);
        handle_record(&w, at, type, payload);
        if (type == REC_END && !(p->raw && p->verbose))
            return RC_OK;
    }
}
