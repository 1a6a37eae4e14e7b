#include "sasl/client.h"

#include <stdlib.h>

#include "sasl/module.h"
#include "util/memory.h"

struct login_client {
    const struct login_client_type *type;
    void *state;
};

struct login_attempt {
    const struct login_client_type *type;
    void *attempt;
};

static const char *const type_names[] = {
    "builtin",
#ifdef HAVE_SASL
    "cyrus",
#endif
    NULL,
};

const char *const *login_client_types(void)
{
    return type_names;
}

static enum rc find_type(const struct login_client_options *o,
                         const struct login_client_type **type, struct why *why)
{
    const struct table_env env = {o->config, o->log};
    const void *symbol = NULL;

    if (str_eq(o->type, STR("builtin"))) {
        *type = &login_client_builtin;
        return RC_OK;
    }
    if (!str_eq(o->type, STR("cyrus")))
        return FAIL(why, RC_CONFIG,
                    "unsupported SASL client implementation: " STR_FMT
                    "; postconf -A shows those of this build",
                    STR_ARG(o->type));
    TRY(login_module_load("cyrus_client", "login_client_type_cyrus", &env, &symbol, why));
    *type = symbol;
    return RC_OK;
}

enum rc login_client_open(const struct login_client_options *o, struct login_client **out,
                          struct why *why)
{
    const struct login_client_type *type = NULL;
    struct login_client *c;
    void *state = NULL;

    TRY(find_type(o, &type, why));
    TRY(type->open(o, &state, why));
    c = NEW(struct login_client);
    *c = (struct login_client){type, state};
    *out = c;
    return RC_OK;
}

bool login_offers(struct str mechanisms, const char *name)
{
    struct str word;

    while (str_token(&mechanisms, " \t", &word))
        if (str_eq_nocase(word, str_of(name)))
            return true;
    return false;
}

enum login_status login_client_begin(struct login_client *c, const struct login_account *account,
                                     struct arena *a, struct login_attempt **attempt,
                                     struct login_reply *reply)
{
    const struct login_client_type *type = account->is_token ? &login_client_builtin : c->type;
    struct login_attempt *t = arena_new_of(a, struct login_attempt);
    enum login_status status;

    *reply = (struct login_reply){0};
    status = type->begin(c->state, account, a, &t->attempt, reply);
    t->type = type;
    *attempt = t;
    return status;
}

enum login_status login_client_step(struct login_attempt *t, struct str challenge,
                                    struct login_reply *reply)
{
    reply->text = STR_NONE;
    return t->type->step(t->attempt, challenge, reply);
}

void login_client_end(struct login_attempt *t)
{
    if (t && t->attempt)
        t->type->end(t->attempt);
}
