/*
 * Mail that the mail system writes itself: notifications of bounce(8), mail that local(8) passes
 * on. It goes through the cleanup service. A message that is not finished is taken back when the
 * arena ends.
 */
#pragma once

#include "service/service.h"
#include "submit/submit.h"

struct post;

struct post_envelope {
    enum submit_source source;
    struct submit_begin begin; /* flags are added; arrival of zero: now */
    const struct recipient *recipients;
    size_t n_recipients;
    bool resent; /* the content has a Received: header of its own kind; none is added */
};

/* The pool for post_open(), kept by the service. */
struct service_pool *post_pool(const struct service_env *env);

/* Opens the message and writes its Received: header. */
enum rc post_open(const struct service_env *env, struct service_pool *cleanup,
                  const struct post_envelope *envelope, struct arena *a, struct post **out,
                  struct why *why) MUST_USE;
const char *post_queue_id(const struct post *p);

/* One line without line end; more: it goes on in the next call. Failure shows in post_finish(). */
void post_line(struct post *p, struct str line, bool more);
void post_linef(struct post *p, const char *format, ...) PRINTF_LIKE(2, 3);

/* RC_OK: queued and synced. RC_PERM: refused for good; words begin with "X.Y.Z". Else RC_TEMP. */
enum rc post_finish(struct post *p, struct why *why) MUST_USE;
