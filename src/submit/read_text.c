#include "submit/submit.h"
#include "util/buf.h"

enum rc submit_read_text(struct ipc *c, struct buf *rest, submit_record_fn *take, void *context,
                         struct why *why)
{
    AUTO_ARENA frame = arena_new(66 * 1024); /* content must not pile up in the message's arena */
    struct submit_text m = {0};
    struct str bytes, payload;
    int type;
    enum rc rc;

    TRY(ipc_read_submit_text(c, frame, &m, NULL, why));
    bytes = m.records;
    if (rest->n) {
        buf_add(rest, bytes);
        bytes = arena_copy(frame, buf_str(rest));
    }
    while ((rc = record_take(&bytes, &type, &payload, why)) == RC_OK)
        TRY(take(context, type, payload));
    if (rc != RC_NONE)
        return rc;
    buf_reset(rest);
    buf_add(rest, bytes);
    return rest->over ? FAIL(why, RC_PERM, "record is too long") : RC_OK;
}
