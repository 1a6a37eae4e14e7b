/* check_policy_service: ask a policy server; its answer is treated as the value of an access table.
 */
#include "access/restrictions.h"
#include "config/config.h"
#include "global/dsn.h"
#include "policy/policy.h"
#include "tls/tls.h"

enum { REQUEST_MAX = 64 * 1024 };

struct policy_call {
    struct policy_server *server;
    struct str name, default_action, context;
};

static enum rc set_option(struct policy_options *o, struct policy_call *call, struct str name,
                          struct str value, struct why *why)
{
    const struct {
        const char *name;
        long *to;
    } times[] = {
        {"timeout", &o->timeout_s},   {"max_idle", &o->max_idle_s},
        {"max_ttl", &o->max_ttl_s},   {"retry_delay", &o->retry_delay_s},
        {"try_limit", &o->try_limit}, {"request_limit", &o->request_limit},
    };

    if (str_eq(name, STR("default_action")) || str_eq(name, STR("policy_context"))) {
        *(name.p[0] == 'd' ? &call->default_action : &call->context) = value;
        return RC_OK;
    }
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        if (!str_eq(name, str_of(times[i].name)))
            continue;
        if (config_parse_time(value, 's', times[i].to))
            return RC_OK;
        return FAIL(why, RC_CONFIG, "check_policy_service: bad value \"" STR_FMT "\" for %s",
                    STR_ARG(value), times[i].name);
    }
    return FAIL(why, RC_CONFIG, "check_policy_service: unknown option \"" STR_FMT "\"",
                STR_ARG(name));
}

/* "name = value" or "{ name = value with blanks }", separated by commas or blanks. */
static enum rc parse_options(struct arena *a, struct str text, struct policy_options *o,
                             struct policy_call *call, struct why *why)
{
    struct str piece;

    while (str_token_braced(&text, ",", &piece)) {
        struct str name, value = str_trim(piece);
        if (value.n >= 2 && value.p[0] == '{' && value.p[value.n - 1] == '}')
            value = str_trim((struct str){value.p + 1, value.n - 2});
        if (value.n == 0)
            continue;
        name = str_trim(str_cut(&value, '='));
        if (value.p == NULL)
            return FAIL(why, RC_CONFIG,
                        "check_policy_service: write name = value instead of \"" STR_FMT "\"",
                        STR_ARG(name));
        TRY(set_option(o, call, name, arena_copy(a, str_trim(value)), why));
    }
    return RC_OK;
}

static void free_server(void *server)
{
    policy_server_free(server);
}

enum rc policy_server_compile(struct access *access, struct str text,
                              const struct policy_call **out, struct why *why)
{
    const struct config *config = access->config;
    struct policy_call *call = arena_new_of(access->arena, struct policy_call);
    struct policy_options o = {
        .directory = config->queue_directory,
        .timeout_s = config->smtpd_policy_service_timeout,
        .max_idle_s = config->smtpd_policy_service_max_idle,
        .max_ttl_s = config->smtpd_policy_service_max_ttl,
        .request_limit = config->smtpd_policy_service_request_limit,
        .try_limit = config->smtpd_policy_service_try_limit,
        .retry_delay_s = config->smtpd_policy_service_retry_delay,
    };

    call->default_action = config->smtpd_policy_service_default_action;
    call->context = config->smtpd_policy_service_policy_context;
    if (text.n >= 2 && text.p[0] == '{' && text.p[text.n - 1] == '}') {
        text = str_trim((struct str){text.p + 1, text.n - 2});
        if (!str_token(&text, LIST_SEPARATORS, &o.endpoint))
            return FAIL(why, RC_CONFIG, "check_policy_service: { } names no server");
        TRY(parse_options(access->arena, text, &o, call, why));
    } else {
        o.endpoint = text;
    }
    call->name = arena_copy(access->arena, o.endpoint);
    TRY(policy_server_new(&o, &call->server, why));
    arena_defer(access->arena, free_server, call->server);
    *out = call;
    return RC_OK;
}

static const char *protocol_state(const struct access_context *c)
{
    return strcmp(c->stage, "BDAT") == 0 ? "DATA" : c->stage;
}

static void add_client(struct buf *b, const struct access_context *c)
{
    policy_attribute(b, "client_address", c->client.address_text);
    policy_attribute(b, "client_name", c->client.name);
    policy_attribute(b, "client_port", c->client.port);
    policy_attribute(b, "reverse_client_name", c->client.reverse_name);
    policy_attribute(b, "server_address", c->client.server_address);
    policy_attribute(b, "server_port", c->client.server_port);
}

static void add_message(struct buf *b, const struct access_context *c)
{
    bool data = c->list == ACCESS_DATA || c->list == ACCESS_END_OF_DATA;

    policy_attribute(b, "helo_name", c->helo);
    policy_attribute(b, "sender", c->sender);
    policy_attribute(b, "recipient", c->recipient);
    policy_attribute_number(b, "recipient_count", data ? c->recipient_count : 0);
    policy_attribute(b, "queue_id", c->queue_id);
    policy_attribute(b, "instance", c->instance);
    policy_attribute_number(b, "size", c->size);
    policy_attribute(b, "etrn_domain", c->etrn_domain);
    policy_attribute(b, "stress", c->stress ? STR("yes") : STR(""));
}

static void add_session(struct buf *b, const struct access_context *c)
{
    static const struct tls_session clear = {0};
    const struct tls_session *t = c->tls ? c->tls : &clear;

    policy_attribute(b, "sasl_method", c->sasl_method);
    policy_attribute(b, "sasl_username", c->sasl_username);
    policy_attribute(b, "sasl_sender", c->sasl_sender);
    policy_attribute(b, "ccert_subject", xtext_encode(c->arena, t->subject));
    policy_attribute(b, "ccert_issuer", xtext_encode(c->arena, t->issuer));
    policy_attribute(b, "ccert_fingerprint", t->fingerprint);
    policy_attribute(b, "ccert_pubkey_fingerprint", t->key_fingerprint);
    policy_attribute(b, "encryption_protocol", t->protocol);
    policy_attribute(b, "encryption_cipher", t->cipher);
    policy_attribute_number(b, "encryption_keysize", t->bits);
    policy_attribute(b, "tls_sni", t->server_name);
}

enum verdict check_policy_service(struct access_context *c, const struct step *s)
{
    const struct config *config = c->access->config;
    const struct policy_call *call = s->policy;
    struct str action = call->default_action;
    struct why why;
    AUTO_BUF b = {0};

    buf_init(&b, REQUEST_MAX);
    policy_attribute(&b, "request", STR("smtpd_access_policy"));
    policy_attribute(&b, "protocol_state", str_of(protocol_state(c)));
    policy_attribute(&b, "protocol_name", c->protocol);
    add_client(&b, c);
    add_message(&b, c);
    add_session(&b, c);
    policy_attribute(&b, "policy_context", call->context);
    policy_attribute(&b, "compatibility_level", config->compatibility_level);
    policy_attribute(&b, "mail_version", config->mail_version);
    if (b.over || policy_ask(call->server, buf_str(&b), c->arena, &action, &why) != RC_OK) {
        log_warning(c->log, "%s", b.over ? "request to policy server is too long" : why.text);
        action = call->default_action;
    }
    return table_result(c, call->name, action, c->subject, c->subject_class);
}
