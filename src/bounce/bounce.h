/* Private to bounce/. */
#pragma once

#include "deliver/deliver.h"
#include "deliver/post.h"
#include "deliver/template.h"
#include "queue/queue.h"

struct bounce_state { /* read-only after start */
    struct queue queue;
    struct templates templates;
    struct service_pool *cleanup;
    struct str log_class;     /* "bounce", "defer" or "trace": what this service keeps */
    struct str double_bounce; /* address that nobody is told about */
    bool copy_bounces, copy_delays, double_bounces; /* notify_classes */
};

/* The message that a notification is about. Absent (fd -1): it is gone already. */
struct original {
    int fd;
    struct timespec arrival;
    long data_offset, size;
};

/* One request for a notification. */
struct notice {
    struct service_env *env;
    const struct bounce_state *state;
    struct arena *arena;
    struct log log; /* with the queue id */
    const struct bounce_flush *request;
    enum template_kind template;
    struct bounce_log_entry *entries;
    size_t n_entries;
    struct original original;
};

/* Where a notification goes. */
struct addressee {
    struct str sender, recipient; /* of the envelope */
    bool postmaster;              /* a copy: other subject */
    bool headers_only;            /* of the original message */
    long notify;                  /* only recipients that want this (DSN_NOTIFY_...); 0: all */
    enum submit_source source;
    const char *what; /* for the log: "sender non-delivery notification" */
};

enum rc bounce_start(struct service_env *env, void **state, struct why *why);
void bounce_session(struct service_env *env, void *state, int fd);

/* Tell whoever must be told of n->entries. RC_OK also when that is nobody. */
enum rc notify_failure(struct notice *n, struct why *why) MUST_USE;
enum rc notify_delay(struct notice *n, struct why *why) MUST_USE;
enum rc notify_trace(struct notice *n, struct why *why) MUST_USE;
/* One notification for each recipient, to a sender address that holds the recipient's. */
enum rc notify_verp(struct notice *n, struct why *why) MUST_USE;

/* RC_NONE: no recipient wants it, nothing was sent. */
enum rc report_send(struct notice *n, const struct addressee *to, struct why *why) MUST_USE;

/* Never fails: what is not there is left out of the report. Closed with the arena. */
void original_open(struct notice *n);
/* Write it as lines; headers_only: without body. Never more than limit bytes. What is damaged ends
 * there; RC_TEMP: it cannot be read now. */
enum rc original_copy(struct notice *n, struct post *to, bool headers_only, long limit,
                      struct why *why) MUST_USE;
/* Value of the first header field of that name, unfolded; empty when absent or unreadable. */
struct str original_header(struct notice *n, const char *name);
