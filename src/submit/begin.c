/* A message begins, and what is decided about it on the way. */
#include "submit/intake.h"

/* The session ended, or forgot the message: the queue file is about to be removed. */
static void abandoned(void *submission)
{
    struct submission *s = submission;

    if (!s->is_over)
        log_info(&s->log, "removed (canceled)");
    if (s->traced && !s->is_queued)
        submission_drop_log(s, STR("trace"));
    buf_done(&s->text);
}

enum rc submit_begin(struct submit_library *lib, const struct submit_begin *begin, struct arena *a,
                     const struct log *log, struct submission **out, struct why *why)
{
    struct submission *s;

    TRY(submit_has_space(lib, 0, why));
    s = arena_new_of(a, struct submission);
    s->lib = lib;
    s->arena = a;
    s->begin = begin;
    s->flags = (unsigned)begin->flags;
    s->sendopts = begin->sendopts;
    if (s->sendopts & SENDOPT_SMTPUTF8)
        s->flags |= SUBMIT_SMTPUTF8;
    if (s->flags & SUBMIT_SMTPUTF8)
        s->sendopts |= SENDOPT_SMTPUTF8;
    if (s->flags & SUBMIT_REQUIRETLS)
        s->sendopts |= SENDOPT_REQUIRETLS;
    TRY(queue_file_create(&lib->queue, STR("incoming"), a, &s->file, why));
    s->arrival = queue_file_created(s->file);
    if (begin->arrival_sec > 0)
        s->arrival = (struct timespec){begin->arrival_sec, begin->arrival_usec * 1000};
    s->log = *log;
    s->size_limit = lib->config->message_size_limit;
    s->log.hush = LOG_HUSH_NOTHING; /* these lines are not the session's */
    log_set_queue_id(&s->log, str_of(queue_file_id(s->file)));
    buf_init(&s->text, 1024 * 1024);
    arena_defer(a, abandoned, s);
    *out = s;
    return RC_OK;
}

const char *submit_queue_id(const struct submission *s)
{
    return queue_file_id(s->file);
}

void submit_set_flags(struct submission *s, unsigned flags)
{
    s->flags |= flags;
}

void submit_set_size_limit(struct submission *s, long bytes)
{
    s->size_limit = bytes;
}

void submit_set_filter(struct submission *s, struct str filter)
{
    s->filter = arena_copy(s->arena, filter);
    s->filter_changed = true;
}

void submit_set_redirect(struct submission *s, struct str address)
{
    s->redirect = arena_copy(s->arena, address);
}

void submit_add_bcc(struct submission *s, struct str address)
{
    vec_add(s->arena, &s->bcc, arena_copy(s->arena, address));
}

long submit_size(const struct submission *s)
{
    return s->content_begun ? queue_file_size(s->file) - s->data_offset : 0;
}
