/* One recipient, at any depth of an expansion: aliases, then .forward, then mailbox. */
#include "config/config.h"
#include "global/address.h"
#include "global/text.h"
#include "local/local.h"
#include "util/buf.h"

enum { LEVEL_MAX = 100, KEY_MAX = 8192 };

/* ---- reporting ---- */

void report(struct attempt *at, const struct target *t, const struct dsn *dsn)
{
    /* Troubles of a mailing list are the business of its owner. */
    at->d->bounce_to = str_eq(t->sender, at->d->request.sender) ? STR_NONE : t->sender;
    if (!deliver_report_as(at->d, &t->rcpt, dsn))
        at->remains = true;
    at->d->bounce_to = STR_NONE;
}

void reportf(struct attempt *at, const struct target *t, const char *status, const char *format,
             ...)
{
    struct dsn dsn;
    va_list args;
    AUTO_BUF b;

    buf_init(&b, 2000);
    va_start(args, format);
    buf_vaddf(&b, format, args);
    va_end(args);
    dsn = dsn_simple(status, arena_copy(at->arena, buf_str(&b)));
    report(at, t, &dsn);
}

bool is_first(struct attempt *at, const char *format, ...)
{
    va_list args;
    AUTO_BUF key;

    buf_init(&key, KEY_MAX);
    va_start(args, format);
    buf_vaddf(&key, format, args);
    va_end(args);
    if (key.over)
        return true;
    str_lower_bytes(key.p, key.n);
    if (map_get(at->seen, buf_str(&key)))
        return false;
    map_put(at->seen, buf_str(&key), at->seen);
    return true;
}

/* ---- the address taken apart ---- */

static void split_name(const struct attempt *at, struct target *t)
{
    struct address_parts parts = address_split(t->rcpt.address);
    struct str delimiters = at->env->config->recipient_delimiter;

    t->name = arena_lower(at->arena, parts.local);
    t->domain = parts.has_domain ? parts.domain : at->env->config->myorigin;
    t->user = t->name;
    t->extension = t->delimiter = STR("");
    if (delimiters.n && address_extension(t->name, delimiters, &t->user, &t->extension))
        t->delimiter = (struct str){t->user.p + t->user.n, 1};
}

void deliver_to_user(struct attempt *at, struct target *t)
{
    const struct user *user = NULL;
    struct why why = {0};
    enum rc rc;

    split_name(at, t);
    rc = user_for(at, t->user, &user, &why);
    if (rc == RC_TEMP)
        reportf(at, t, "4.3.0", "user lookup error: %s", why.text);
    else
        deliver_mailbox(at, t, rc == RC_OK ? user : NULL);
}

static void deliver_to_account(struct attempt *at, struct target *t)
{
    const struct user *user = NULL;
    struct why why = {0};
    enum rc rc = user_for(at, t->user, &user, &why);

    bool only_expanded = !str_eq(at->env->config->local_delivery_by, STR("mailbox"));

    if (rc == RC_TEMP)
        reportf(at, t, "4.3.0", "user lookup error: %s", why.text);
    else if (rc == RC_OK && !str_eq(at->env->config->local_delivery_by, STR("alias")) &&
             deliver_dotforward(at, t, user))
        return;
    else if (only_expanded)
        reportf(at, t, "5.1.1", "no forwarding address for user: \"" STR_FMT "\"",
                STR_ARG(t->user));
    else
        deliver_mailbox(at, t, rc == RC_OK ? user : NULL);
}

void deliver_recipient(struct attempt *at, struct target *t)
{
    if (t->level > LEVEL_MAX) {
        log_warning(&at->d->log, "aliases of <" STR_FMT "> are nested too deeply",
                    STR_ARG(t->rcpt.address));
        reportf(at, t, "5.4.6", "possible alias database loop");
        return;
    }
    if (!is_first(at, "recipient %d " STR_FMT, t->level, STR_ARG(t->rcpt.address)))
        return;
    if (!at->env->config->frozen_delivered_to)
        t->delivered = t->rcpt.address;
    split_name(at, t);
    if (t->name.n == 0)
        reportf(at, t, "5.1.3", "null username in \"" STR_FMT "\"", STR_ARG(t->rcpt.address));
    else if (!deliver_virtual(at, t) && !deliver_alias(at, t))
        deliver_to_account(at, t);
}

/* ---- $name ---- */

struct names {
    const struct attempt *at;
    const struct target *target;
    const struct user *user;
    bool missing;
};

static bool name_value(void *context, struct str name, struct str *value)
{
    struct names *x = context;
    const struct target *t = x->target;
    const struct origin *o = &x->at->d->request.origin;
    const struct {
        const char *name;
        struct str value;
    } values[] = {
        {"user", t->user},
        {"home", x->user ? x->user->home : STR("")},
        {"shell", x->user ? x->user->shell : STR("")},
        {"recipient", t->rcpt.address},
        {"extension", t->extension},
        {"recipient_delimiter", t->delimiter},
        {"domain", t->domain},
        {"local", t->name},
        {"mailbox", t->name},
        {"client_address", o->client_address},
        {"client_hostname", o->client_name},
        {"client_helo", o->helo},
        {"client_protocol", o->protocol},
        {"sasl_method", o->sasl_method},
        {"sasl_sender", o->sasl_sender},
        {"sasl_username", o->sasl_username},
        {"original_recipient", t->rcpt.original},
        {"queue_id", x->at->d->request.queue_id},
    };

    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        if (str_eq(name, str_of(values[i].name)) && values[i].value.n) {
            *value = values[i].value;
            return true;
        }
    x->missing = true;
    return false;
}

struct str expand_for(struct attempt *at, const struct target *t, const struct user *user,
                      struct str text, const char *allowed, bool *missing)
{
    struct names x = {at, t, user, false};
    struct str out = text_expand(at->arena, text, name_value, &x, allowed);

    *missing = x.missing;
    return out;
}
