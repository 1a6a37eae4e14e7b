#include "submit/local.h"

static const struct {
    const char *name, *values; /* "a|b": only these; NULL: any */
} attributes[] = {
    {"encoding", "7bit|8bit|"},
    {"envelope_id", NULL},
    {"notify_flags", NULL},
    {"dsn_orig_rcpt", NULL},
    {"ret_flags", NULL},
    {"create_time", NULL},
    {"rewrite_context", "local|remote"},
    {"trace_flags", "512|1024"},
};

static bool is_one_of(struct str value, const char *words)
{
    struct str rest = str_of(words);

    while (rest.p)
        if (str_eq(str_cut(&rest, '|'), value))
            return true;
    return false;
}

static bool attribute_is_allowed(struct str payload)
{
    struct str value = payload, name = str_cut(&value, '=');

    for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++)
        if (str_eq(name, str_of(attributes[i].name)))
            return attributes[i].values == NULL || is_one_of(value, attributes[i].values);
    return false;
}

static bool type_is_allowed(const struct local_check *c, int type)
{
    static const char *const types[] = {"MCFSRVAinT", "XLN", "EAR", ""};

    return type != '\0' && strchr(types[c->part], type) != NULL;
}

enum rc local_check_record(struct local_check *c, int type, struct str payload, bool *keep,
                           struct why *why)
{
    *keep = true;
    if (!type_is_allowed(c, type))
        return FAIL(why, RC_PERM, "unexpected record type: %c",
                    type > ' ' && type < 127 ? type : '?');
    if (c->part != LOCAL_CONTENT &&
        (str_index_any(payload, "\r\n") >= 0 || str_index(payload, '\0') >= 0))
        return FAIL(why, RC_PERM, "record of type %c holds a line end or NUL", type);
    switch (type) {
    case REC_TIME: *keep = false; break; /* the time is ours to say */
    case REC_SENDER: c->has_sender = true; break;
    case REC_RCPT: c->has_recipient = true; break;
    case REC_MESSAGE: c->part = LOCAL_CONTENT; break;
    case REC_EXTRACTED: c->part = LOCAL_EXTRACTED; break;
    case REC_END: c->part = LOCAL_END; break;
    case REC_ATTR:
        *keep = attribute_is_allowed(payload);
        if (!*keep)
            why_set(why, RC_PERM, "ignoring attribute record: " STR_FMT, STR_ARG(payload));
        break;
    default: break;
    }
    return RC_OK;
}

enum rc local_check_end(const struct local_check *c, struct why *why)
{
    if (c->part != LOCAL_END)
        return FAIL(why, RC_PERM, "the message ends early");
    if (!c->has_sender || !c->has_recipient)
        return FAIL(why, RC_PERM, "the message has no %s", c->has_sender ? "recipient" : "sender");
    return RC_OK;
}
