/* $macros of argv=: values of the request, and values of a recipient. */
#include "config/config.h"
#include "global/address.h"
#include "global/text.h"
#include "pipe/pipe.h"

struct values {
    const struct pipe_state *s;
    struct delivery *d;
    const struct recipient *r; /* of this expansion */
    bool per_recipient;        /* a recipient macro was used */
    struct str unknown;        /* a name that is no macro */
};

static struct str quoted(const struct values *v, struct str address)
{
    return pipe_has_flag(v->s, 'q') ? address_quote_822(v->d->arena, address) : address;
}

/* The recipient with the case changes that flags h and u ask for. */
static struct address_parts folded(const struct values *v, struct str address)
{
    struct address_parts parts = address_split(address);

    if (pipe_has_flag(v->s, 'h'))
        parts.domain = arena_lower(v->d->arena, parts.domain);
    if (pipe_has_flag(v->s, 'u'))
        parts.local = arena_lower(v->d->arena, parts.local);
    return parts;
}

static struct str whole(const struct values *v, struct str address)
{
    struct address_parts parts = folded(v, address);

    return quoted(v, parts.has_domain ? address_join(v->d->arena, parts.local, parts.domain)
                                      : parts.local);
}

static bool recipient_value(struct values *v, struct str name, struct str *value)
{
    struct address_parts parts = folded(v, v->r->address);
    struct str user = parts.local, extension = STR("");

    (void)address_extension(parts.local, v->d->env->config->recipient_delimiter, &user, &extension);
    if (str_eq(name, STR("recipient")))
        *value = whole(v, v->r->address);
    else if (str_eq(name, STR("original_recipient")))
        *value = whole(v, v->r->original.n ? v->r->original : v->r->address);
    else if (str_eq(name, STR("user")))
        *value = user;
    else if (str_eq(name, STR("extension")))
        *value = extension;
    else if (str_eq(name, STR("mailbox")))
        *value = parts.local;
    else if (str_eq(name, STR("domain")))
        *value = parts.domain;
    else
        return false;
    v->per_recipient = true;
    return true;
}

static bool request_value(struct values *v, struct str name, struct str *value)
{
    const struct deliver_request *q = &v->d->request;
    const struct {
        struct str name, value;
    } rows[] = {
        {STR("sender"), q->sender.n ? quoted(v, q->sender) : v->s->null_sender},
        {STR("nexthop"), q->nexthop},
        {STR("queue_id"), q->queue_id},
        {STR("envid"), q->envid},
        {STR("client_address"), q->origin.client_address},
        {STR("client_helo"), q->origin.helo},
        {STR("client_hostname"), q->origin.client_name},
        {STR("client_port"), q->origin.client_port},
        {STR("client_protocol"), q->origin.protocol},
        {STR("sasl_method"), q->origin.sasl_method},
        {STR("sasl_sender"), q->origin.sasl_sender},
        {STR("sasl_username"), q->origin.sasl_username},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (str_eq(name, rows[i].name)) {
            *value = rows[i].value;
            return true;
        }
    if (!str_eq(name, STR("size")))
        return false;
    *value = arena_printf(v->d->arena, "%ld", q->size);
    return true;
}

static bool lookup(void *context, struct str name, struct str *value)
{
    struct values *v = context;

    if (recipient_value(v, name, value) || request_value(v, name, value))
        return true;
    v->unknown = name;
    return false;
}

enum rc pipe_arguments(const struct pipe_state *s, struct delivery *d, char ***out,
                       struct str *text, struct why *why)
{
    VEC(char *) argv = {0};
    struct str line = STR("");

    for (size_t i = 0; i < s->n_argv; i++) {
        for (size_t r = 0; r < d->request.n_recipients; r++) {
            struct values v = {.s = s, .d = d, .r = &d->request.recipients[r]};
            struct str word = text_expand(d->arena, s->argv[i], lookup, &v, NULL);
            if (v.unknown.n)
                return FAIL(why, RC_CONFIG, "service %s: argv= holds the unknown macro $" STR_FMT,
                            d->env->name, STR_ARG(v.unknown));
            vec_add(d->arena, &argv, arena_text(d->arena, word));
            line = arena_printf(d->arena, STR_FMT "%s" STR_FMT, STR_ARG(line), line.n ? " " : "",
                                STR_ARG(word));
            if (!v.per_recipient)
                break;
        }
    }
    vec_add(d->arena, &argv, NULL);
    *out = argv.v;
    *text = line;
    return RC_OK;
}
