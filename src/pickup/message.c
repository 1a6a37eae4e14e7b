/* Records of a local program become a submission. */
#include <stdio.h>

#include "config/config.h"
#include "filter/link.h"
#include "global/date.h"
#include "global/logline.h"
#include "pickup/filters.h"
#include "util/clock.h"
#include "util/memory.h"

enum rc pickup_start(struct service_env *env, void **state, struct why *why)
{
    struct pickup *p = NEW(struct pickup);
    const struct config *cleanup = NULL, *rewrite = NULL;

    pthread_mutex_init(&p->lock, NULL);
    TRY(queue_open_content(env->config, &p->queue, why));
    TRY(service_config_of(env, env->config->cleanup_service_name, &cleanup, why));
    TRY(service_config_of(env, env->config->rewrite_service_name, &rewrite, why));
    TRY(rewriter_new(rewrite, &env->log, &p->rewriter, why));
    TRY(submit_open(cleanup, p->rewriter, &env->log, &p->submit, why));
    TRY(drop_access_open(env->config, &env->log, &p->access, why));
    if (str_trim(env->config->non_smtpd_filters).n)
        TRY(filter_set_load(env->config->smtpd_filter_definitions.p, env->config->non_smtpd_filters,
                            &env->log, arena_new(4096), &p->filters, why));
    p->flags = submit_flags_for(env->config, SUBMIT_FROM_SENDMAIL) | SUBMIT_BOUNCE;
    *state = p;
    return RC_OK;
}

bool pickup_has_changed(struct service_env *env, void *state)
{
    struct pickup *p = state;

    (void)env;
    return submit_tables_have_changed(p->submit) || rewriter_has_changed(p->rewriter) ||
           drop_access_has_changed(p->access);
}

void message_init(struct message *m, struct service_env *env, struct pickup *pickup,
                  enum drop_source source, uid_t uid, struct arena *a)
{
    *m = (struct message){.env = env, .pickup = pickup, .arena = a, .log = env->log};
    drop_init(&m->drop, source, uid, a);
}

enum rc message_record(struct message *m, int type, struct str payload, bool *is_text,
                       struct why *why)
{
    enum drop_kind kind;

    TRY(drop_record(&m->drop, type, payload, &kind, why));
    *is_text = kind == DROP_TEXT;
    if (kind == DROP_UNKNOWN)
        log_warning(&m->log, "%s", why->text);
    else if (kind == DROP_RECIPIENT)
        vec_add(m->arena, &m->recipients, m->drop.recipient);
    return RC_OK;
}

static void add_received(struct message *m)
{
    const struct config *config = m->env->config;
    char date[DATE_SIZE];
    struct str user = arena_printf(m->arena, ", from userid %u", m->drop.uid);

    date_rfc5322(date, clock_seconds());
    filters_header(m, arena_printf(m->arena,
                                   "Received: by " STR_FMT " (" STR_FMT STR_FMT ")\n\tid %s; %s",
                                   STR_ARG(config->myhostname), STR_ARG(config->mail_name),
                                   STR_ARG(config->pickup_hide_user ? STR("") : user),
                                   submit_queue_id(m->submission), date));
}

static void discard_dsn(struct message *m)
{
    m->drop.begin.envid = STR("");
    m->drop.begin.dsn_ret = 0;
    for (size_t i = 0; i < m->recipients.n; i++) {
        m->recipients.v[i].dsn_notify = 0;
        m->recipients.v[i].dsn_orcpt = STR("");
    }
}

enum rc message_open(struct message *m, struct why *why)
{
    struct submit_begin *begin = &m->drop.begin;

    begin->flags = m->pickup->flags;
    begin->filter = m->env->config->content_filter;
    if (begin->arrival_sec == 0) {
        struct timespec now = clock_now();
        begin->arrival_sec = now.tv_sec;
        begin->arrival_usec = now.tv_nsec / 1000;
    }
    if (m->env->config->pickup_discard_dsn && m->drop.source != DROP_FROM_QUEUE)
        discard_dsn(m);
    TRY(filters_envelope(m, why));
    TRY(submit_begin(m->pickup->submit, begin, m->arena, &m->env->log, &m->submission, why));
    log_set_queue_id(&m->log, str_of(submit_queue_id(m->submission)));
    logline_uid(&m->log, (long)m->drop.uid, begin->sender, m->orig_id);
    for (size_t i = 0; i < m->recipients.n; i++)
        submit_recipient(m->submission, &m->recipients.v[i]);
    if (m->filters && (m->filters->junk_session || m->filters->junk_message))
        filters_header(m, STR("X-Spam: yes"));
    add_received(m);
    return RC_OK;
}

void message_line(struct message *m, struct str line, bool more)
{
    filters_line(m, line, more);
}

unsigned message_finish(struct message *m, struct str *reason)
{
    struct why why = {0};
    enum rc rc = filters_content(m, &why);
    unsigned status;

    if (rc != RC_OK) {
        *reason = arena_copy(m->arena, str_of(why.text));
        return rc == RC_PERM ? SUBMIT_NOPERM : SUBMIT_DEFER;
    }
    status = submit_finish(m->submission, reason);
    message_end(m, status == 0);
    return status;
}

void message_end(struct message *m, bool queued)
{
    filters_end(m, queued);
}

enum rc message_return(struct message *m, struct why *why)
{
    struct str text = str_trim(str_from(m->refusal, 3));
    bool has_code = text.n > 2 && is_digit(text.p[0]) && text.p[1] == '.';

    message_end(m, false);
    for (size_t i = 0; i < m->recipients.n; i++)
        m->recipients.v[i].action =
            arena_printf(m->arena, "error:%s" STR_FMT, has_code ? "" : "5.7.1 ", STR_ARG(text));
    return message_open(m, why);
}
