#include "smtp/transaction.h"

static enum rc put_line(void *context, struct str text, bool more, struct why *why)
{
    (void)why;
    wire_text_put(context, text, more);
    return RC_OK;
}

enum rc content_send(struct attempt *at, struct session *s, struct why *why)
{
    long limit = at->smtp->set.line_length_limit;
    struct wire_text text = {.stream = &s->wire.stream,
                             .line_limit = limit > 0 ? (size_t)limit : 0};

    TRY(deliver_content(at->d, put_line, &text, why));
    if (text.column)
        wire_text_put(&text, STR(""), false);
    return RC_OK;
}
