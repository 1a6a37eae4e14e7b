/* What a session would know about the client and its message. */
#include "access/ident.h"
#include "postexplain/postexplain.h"

static void set_name(struct access_client *c, const char *given, struct resolver *resolver,
                     bool look_up, struct arena *a)
{
    struct why why;

    (void)access_client_name(c, resolver, look_up && !given, a, &why);
    if (given == NULL || strcmp(given, "unknown") == 0)
        return;
    c->name = c->reverse_name = str_of(given);
    c->name_status = c->reverse_status = PEER_OK;
}

/* The answer of a client host, as it would be read. */
static void set_ident(struct access_context *c, const char *user, struct arena *a)
{
    struct str line = arena_printf(a, "1,2:USERID:UNIX:%s", user);

    if (!ident_parse(line, 1, 2, c->ident.user))
        c->ident.user[0] = '\0';
}

enum rc fill_context(const struct question *q, struct resolver *resolver, struct arena *a,
                     const struct config *config, struct access_context *context, struct why *why)
{
    struct access_client *c = &context->client;
    char text[ADDR_TEXT_SIZE];

    if (addr_parse(str_of(q->client), 0, &c->address, why) != RC_OK) {
        why_prefix(why, "--client");
        return RC_PERM;
    }
    addr_format(&c->address, text);
    c->address_text = arena_copy(a, str_of(text));
    c->port = STR("0");
    c->server_address = c->server_port = STR("");
    set_name(c, q->client_name, resolver,
             config->smtpd_peername_lookup && !q->rules_file && !q->instructions, a);
    c->label = arena_printf(a, STR_FMT "[" STR_FMT "]", STR_ARG(c->name), STR_ARG(c->address_text));
    context->sasl_username = str_of(q->sasl_user);
    if (q->sasl_user)
        context->sasl_method = STR("PLAIN");
    context->ident.asked = true;
    if (q->ident)
        set_ident(context, q->ident, a);
    return RC_OK;
}
