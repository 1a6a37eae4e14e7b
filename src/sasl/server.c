#include "sasl/server.h"

#include <stdlib.h>

#include "sasl/backends.h"
#include "sasl/module.h"
#include "util/memory.h"

struct login_server {
    const struct login_server_type *type;
    void *state;
};

struct login_exchange {
    const struct login_server_type *type;
    void *state;
};

static const struct {
    const char *name;
    const struct login_server_type *type; /* NULL: in a module */
    const char *module, *symbol;
} types[] = {
    {"cyrus", NULL, "cyrus_server", "login_server_type_cyrus"},
    {"dovecot", &login_server_dovecot, NULL, NULL},
    {"file", &login_server_file, NULL, NULL},
};

static enum rc find_type(const struct login_server_options *o, const struct login_server_type **out,
                         struct why *why)
{
    struct table_env env = {o->config, o->log};
    const void *symbol = NULL;

    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (!str_eq(o->type, str_of(types[i].name)))
            continue;
        *out = types[i].type;
        if (*out)
            return RC_OK;
        TRY(login_module_load(types[i].module, types[i].symbol, &env, &symbol, why));
        *out = symbol;
        return RC_OK;
    }
    return FAIL(why, RC_CONFIG, "unknown SASL type \"" STR_FMT "\"; choose cyrus, dovecot or file",
                STR_ARG(o->type));
}

enum rc login_server_open(const struct login_server_options *o, struct login_server **out,
                          struct why *why)
{
    const struct login_server_type *type = NULL;
    void *state = NULL;

    TRY(find_type(o, &type, why));
    TRY(type->open(o, &state, why));
    *out = NEW(struct login_server);
    **out = (struct login_server){type, state};
    return RC_OK;
}

void login_server_close(struct login_server *s)
{
    if (s == NULL)
        return;
    s->type->close(s->state);
    free(s);
}

bool login_server_has_changed(struct login_server *s)
{
    return s->type->has_changed && s->type->has_changed(s->state);
}

void login_server_started(struct login_server *s)
{
    if (s->type->started)
        s->type->started(s->state);
}

enum rc login_server_mechanisms(struct login_server *s, const struct login_peer *peer,
                                struct arena *a, struct str *list, struct why *why)
{
    return s->type->mechanisms(s->state, peer, a, list, why);
}

enum login_status login_server_begin(struct login_server *s, const struct login_peer *peer,
                                     struct arena *a, struct str mechanism, struct str initial,
                                     struct login_exchange **exchange, struct login_reply *reply)
{
    struct login_exchange *x = arena_new_of(a, struct login_exchange);

    *reply = (struct login_reply){.mechanism = mechanism};
    x->type = s->type;
    *exchange = x;
    return s->type->begin(s->state, peer, a, mechanism, initial, &x->state, reply);
}

enum login_status login_server_step(struct login_exchange *x, struct str response,
                                    struct login_reply *reply)
{
    *reply = (struct login_reply){0};
    return x->type->step(x->state, response, reply);
}

void login_server_end(struct login_exchange *x)
{
    if (x && x->state)
        x->type->end(x->state);
}
