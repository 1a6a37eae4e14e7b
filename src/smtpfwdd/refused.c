/* What the mailer refused for good: the sender is told, by a message that goes the same way. */
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "global/date.h"
#include "smtpfwdd/drain.h"

enum { PIECE = 65536 };

static void put_header(const struct forward *f, FILE *out, const char *boundary)
{
    const struct config *c = f->d->command->config;
    char date[DATE_SIZE];

    date_rfc5322(date, time(NULL));
    fprintf(out, "From: MAILER-DAEMON@%s (Mail Delivery System)\n", c->myhostname.p);
    fprintf(out, "To: " STR_FMT "\n", STR_ARG(f->message.sender));
    fprintf(out, "Date: %s\n", date);
    fputs("Subject: Undelivered Mail Returned to Sender\n"
          "Auto-Submitted: auto-replied\n"
          "MIME-Version: 1.0\n"
          "Content-Type: multipart/report; report-type=delivery-status;\n",
          out);
    fprintf(out, "\tboundary=\"%s\"\nContent-Transfer-Encoding: 8bit\n\n", boundary);
}

static void put_text(const struct forward *f, FILE *out, const char *boundary)
{
    fprintf(out, "--%s\nContent-Type: text/plain; charset=utf-8\n", boundary);
    fputs("Content-Transfer-Encoding: 8bit\n\n", out);
    fprintf(out, "This is the mail system at host %s.\n\n", f->d->command->config->myhostname.p);
    fputs("Your message could not be delivered to these recipients. It is attached below.\n\n",
          out);
    for (size_t i = 0; i < f->message.recipients.n; i++)
        if (f->message.recipients.v[i].state == SPOOL_FAIL)
            fprintf(out, "<" STR_FMT ">: %s\n", STR_ARG(f->message.recipients.v[i].address),
                    f->reasons[i].words);
}

/* RFC 3464 */
static void put_status(const struct forward *f, FILE *out, const char *boundary)
{
    fprintf(out, "\n--%s\nContent-Type: message/delivery-status\n\n", boundary);
    fprintf(out, "Reporting-MTA: dns; %s\n", f->d->command->config->myhostname.p);
    for (size_t i = 0; i < f->message.recipients.n; i++)
        if (f->message.recipients.v[i].state == SPOOL_FAIL)
            fprintf(out, "\nFinal-Recipient: rfc822; " STR_FMT "\nAction: failed\nStatus: %s\n",
                    STR_ARG(f->message.recipients.v[i].address), f->reasons[i].status);
}

static bool put_message(const struct forward *f, FILE *out, const char *boundary)
{
    char *piece = arena_alloc(f->arena, PIECE);
    off_t at = f->message.body;
    ssize_t n;

    fprintf(out, "\n--%s\nContent-Type: message/rfc822\n", boundary);
    fputs("Content-Transfer-Encoding: 8bit\n\n", out);
    while ((n = pread(f->fd, piece, PIECE, at)) > 0) {
        fwrite(piece, 1, (size_t)n, out);
        at += n;
    }
    fprintf(out, "\n--%s--\n", boundary);
    return n == 0;
}

/* The notification as a file in memory; -1 and errno. */
static int compose(const struct forward *f)
{
    int fd = memfd_create("notification", MFD_CLOEXEC), copy = fd < 0 ? -1 : dup(fd);
    FILE *out = copy < 0 ? NULL : fdopen(copy, "w");
    const char *boundary = arena_printf(f->arena, "%s.%ld/refused", f->name, (long)time(NULL)).p;
    bool is_whole;

    if (out == NULL)
        return -1;
    put_header(f, out, boundary);
    put_text(f, out, boundary);
    put_status(f, out, boundary);
    is_whole = put_message(f, out, boundary);
    if (fclose(out) == 0 && is_whole)
        return fd;
    close(fd);
    return -1;
}

enum fate refused_tell_sender(const struct forward *f)
{
    char *argv[] = {(char *)f->d->mailer,
                    (char *)"-oi",
                    (char *)"-f",
                    (char *)"<>",
                    arena_text(f->arena, f->message.sender),
                    NULL};
    struct mailer_result r;
    int fd;

    if (f->message.sender.n == 0)
        return FATE_FAILED; /* a notification itself, or somebody who wants none */
    fd = compose(f);
    if (fd < 0) {
        log_warning(&f->log, "notification for the sender: %m");
        return FATE_RETRY;
    }
    r = mailer_result(forward_run(f, argv, fd, 0));
    close(fd);
    if (r.fate == FATE_SENT)
        log_info(&f->log, "sender non-delivery notification: handed on for <" STR_FMT ">",
                 STR_ARG(f->message.sender));
    else
        log_warning(&f->log, "sender non-delivery notification for <" STR_FMT ">: %s",
                    STR_ARG(f->message.sender), r.words);
    return r.fate;
}
