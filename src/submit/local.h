/*
 * Local submission: what sendmail(1) may say, in the records that postdrop(1) stores and pickup(8)
 * takes. Envelope, content, extracted part; each with its own record types. What outsiders could
 * misuse is dropped.
 */
#pragma once

#include "queue/queue.h"

struct local_check {
    enum { LOCAL_ENVELOPE, LOCAL_CONTENT, LOCAL_EXTRACTED, LOCAL_END } part;
    bool has_sender, has_recipient;
};

/*
 * Check the next record and follow the parts. *keep: whether it shall be stored (false: an
 * attribute nobody may set; the words name it). RC_PERM: the stream is none of ours. Text: of the
 * words.
 */
enum rc local_check_record(struct local_check *c, int type, struct str payload, bool *keep,
                           struct why *why) MUST_USE;

/* After the last record. RC_PERM: something is missing. */
enum rc local_check_end(const struct local_check *c, struct why *why) MUST_USE;
