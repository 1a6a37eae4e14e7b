/* The listing for people and as JSON lines, in Postfix's shapes. */
#include "global/address.h"
#include "global/date.h"
#include "postqueue/postqueue.h"

enum { REASON_COLUMNS = 76 };

struct printer {
    FILE *out;
    struct arena *arena; /* of the printer */
    bool json, long_ids;
    long messages, bytes;
    bool inside;         /* between two entries of the same message */
    struct str reason;   /* that was printed last */
    struct arena *small; /* of one message */
    bool first_recipient;
};

struct printer *printer_new(bool json, bool long_ids, FILE *out, struct arena *a)
{
    struct printer *p = arena_new_of(a, struct printer);

    *p = (struct printer){
        .out = out, .arena = a, .json = json, .long_ids = long_ids, .small = arena_new(4096)};
    return p;
}

/* ---- for people ---- */
static void print_head(const struct printer *p)
{
    fputs(p->long_ids ? "----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------\n"
                      : "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n",
          p->out);
}

static void print_message(struct printer *p, const struct queue_entry *e)
{
    char id[QUEUE_ID_SIZE + 8], time[DATE_SIZE];
    struct str sender = e->sender.n ? address_quote(p->small, e->sender) : STR("MAILER-DAEMON");
    const char *mark = str_eq(e->queue_name, STR("active")) ? "*"
                       : str_eq(e->queue_name, STR("hold")) ? "!"
                                                            : "";

    snprintf(id, sizeof id, "%.*s%s%s", (int)e->queue_id.n, e->queue_id.p, mark,
             e->forced_expire ? "#" : "");
    date_ctime(time, e->arrival);
    fprintf(p->out,
            p->long_ids ? "%-17s %8ld %19.19s " STR_FMT "\n" : "%-11s %7ld %20.20s " STR_FMT "\n",
            id, e->size, time, STR_ARG(sender));
}

static void print_recipient(struct printer *p, const struct listed_recipient *r)
{
    struct str shown = address_quote(p->small, r->address);

    if (!str_eq(r->reason, p->reason) || (p->first_recipient && r->reason.n)) {
        if (r->reason.n)
            fprintf(p->out, "%*s(" STR_FMT ")\n",
                    r->reason.n < REASON_COLUMNS ? (int)(REASON_COLUMNS - r->reason.n) : 0, "",
                    STR_ARG(r->reason));
        else
            fprintf(p->out, "%*s(reason unavailable)\n", REASON_COLUMNS - 18, "");
        p->reason = arena_copy(p->small, r->reason);
    }
    fprintf(p->out, p->long_ids ? "%-17s %8s %-19s " STR_FMT "\n" : "%-11s %7s %-20s " STR_FMT "\n",
            "", "", "", STR_ARG(shown));
    p->first_recipient = false;
}

static void print_entry(struct printer *p, const struct queue_entry *e)
{
    if (!p->inside) {
        if (p->messages == 0)
            print_head(p);
        else
            putc('\n', p->out);
        print_message(p, e);
    }
    for (size_t i = 0; i < e->n_recipients; i++)
        print_recipient(p, &e->recipients[i]);
}

/* ---- JSON ---- */
/* Length of the well-formed UTF-8 character at the start, or 0. */
static size_t utf8_length(struct str s)
{
    unsigned char c = (unsigned char)s.p[0];
    size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

    return n <= s.n && str_is_utf8(str_head(s, n)) ? n : 0;
}

static void json_text(FILE *out, struct str s)
{
    static const char escapes[] = "\bb\ff\nn\rr\tt\\\\\"\"";

    putc('"', out);
    while (s.n) {
        size_t n = utf8_length(s);
        const char *e = NULL;
        for (const char *x = escapes; *x && e == NULL; x += 2)
            if (*x == s.p[0])
                e = x + 1;
        if (e)
            fprintf(out, "\\%c", *e);
        else if (n == 0)
            putc('?', out);
        else if ((unsigned char)s.p[0] < ' ' || s.p[0] == 127)
            fprintf(out, "\\u%04X", (unsigned)s.p[0]);
        else
            fwrite(s.p, 1, n, out);
        s = str_from(s, n ? n : 1);
    }
    putc('"', out);
}

static void json_recipient(struct printer *p, const struct listed_recipient *r)
{
    const char *name = str_eq(r->log_class, STR("defer"))    ? "delay_reason"
                       : str_eq(r->log_class, STR("bounce")) ? "bounce_reason"
                                                             : "other_reason";

    fputs(p->first_recipient ? "{\"orig_address\": " : ", {\"orig_address\": ", p->out);
    json_text(p->out, r->original.n ? r->original : r->address);
    fputs(", \"address\": ", p->out);
    json_text(p->out, r->address);
    if (r->reason.n) {
        fprintf(p->out, ", \"%s\": ", name);
        json_text(p->out, r->reason);
    }
    putc('}', p->out);
    p->first_recipient = false;
}

static void json_entry(struct printer *p, const struct queue_entry *e)
{
    if (!p->inside) {
        fputs("{\"queue_name\": ", p->out);
        json_text(p->out, e->queue_name);
        fputs(", \"queue_id\": ", p->out);
        json_text(p->out, e->queue_id);
        fprintf(p->out, ", \"arrival_time\": %ld, \"message_size\": %ld, \"forced_expire\": %s, ",
                e->arrival, e->size, e->forced_expire ? "true" : "false");
        fputs("\"sender\": ", p->out);
        json_text(p->out, e->sender.n ? e->sender : STR("MAILER-DAEMON"));
        fputs(", \"recipients\": [", p->out);
    }
    for (size_t i = 0; i < e->n_recipients; i++)
        json_recipient(p, &e->recipients[i]);
    if (!e->more)
        fputs("]}\n", p->out);
}

void printer_entry(struct printer *p, const struct queue_entry *e)
{
    if (!p->inside) {
        arena_reset(p->small);
        p->reason = STR_NONE;
        p->first_recipient = true;
    }
    if (p->json)
        json_entry(p, e);
    else
        print_entry(p, e);
    p->inside = e->more;
    if (!e->more) {
        p->messages++;
        p->bytes += e->size;
    }
}

void printer_end(struct printer *p)
{
    if (!p->json && p->messages == 0)
        fputs("Mail queue is empty\n", p->out);
    else if (!p->json)
        fprintf(p->out, "\n-- %ld Kbytes in %ld Request%s.\n", p->bytes / 1024, p->messages,
                p->messages == 1 ? "" : "s");
    arena_free(p->small);
}
