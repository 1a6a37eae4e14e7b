#include "deliver/notice.h"

#include "deliver/post.h"
#include "global/address.h"

unsigned notify_classes(const struct config *config)
{
    static const struct {
        const char *name;
        unsigned bit;
    } classes[] = {{"data", NOTIFY_DATA},
                   {"policy", NOTIFY_POLICY},
                   {"protocol", NOTIFY_PROTOCOL},
                   {"resource", NOTIFY_RESOURCE},
                   {"software", NOTIFY_SOFTWARE}};
    struct str rest = config->notify_classes, word;
    unsigned bits = 0;

    while (str_token(&rest, LIST_SEPARATORS, &word))
        for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
            if (str_eq_nocase(word, str_of(classes[i].name)))
                bits |= classes[i].bit;
    return bits;
}

static struct str with_origin(struct arena *a, const struct config *c, struct str address)
{
    return str_index(address, '@') >= 0
               ? address
               : arena_printf(a, STR_FMT "@" STR_FMT, STR_ARG(address), STR_ARG(c->myorigin));
}

static void put_lines(struct post *p, const struct buf *lines)
{
    struct str rest = buf_str(lines);

    while (rest.n)
        post_line(p, str_cut(&rest, '\n'), false);
}

static void put_notice(struct post *p, const struct config *c, struct str to, const char *subject,
                       const struct transcript *t)
{
    post_linef(p, "From: MAILER-DAEMON (Mail Delivery System)");
    post_linef(p, "To: " STR_FMT " (Postmaster)", STR_ARG(to));
    post_linef(p, "Subject: " STR_FMT " %s", STR_ARG(c->mail_name), subject);
    post_linef(p, "Auto-Submitted: auto-generated");
    post_linef(p, "%s", "");
    post_linef(p, "Transcript of session follows.");
    post_linef(p, "%s", "");
    put_lines(p, &t->first);
    if (t->left_out)
        post_linef(p, "      (%ld lines left out)", t->left_out);
    put_lines(p, &t->last);
    post_linef(p, "%s", "");
    post_linef(p, "For other details, see the local mail logfile");
}

void notice_send(const struct service_env *env, struct service_pool *cleanup, const char *subject,
                 const struct transcript *t)
{
    const struct config *c = env->config;
    AUTO_ARENA a = arena_new(4096);
    struct recipient to = {.address = with_origin(a, c, c->error_notice_recipient)};
    struct post_envelope envelope = {
        .source = SUBMIT_FROM_NOTIFY,
        .begin = {.sender = with_origin(a, c, c->double_bounce_sender)},
        .recipients = &to,
        .n_recipients = 1,
    };
    struct post *p;
    struct why why;
    enum rc rc = post_open(env, cleanup, &envelope, a, &p, &why);

    if (rc == RC_OK) {
        put_notice(p, c, address_quote_822(a, to.address), subject, t);
        rc = post_finish(p, &why);
    }
    if (rc != RC_OK)
        log_warning(&env->log, "postmaster notify: %s", why.text);
}
