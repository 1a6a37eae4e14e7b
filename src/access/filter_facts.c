#include "access/access.h"
#include "filter/filter.h"

struct filter_facts access_filter_facts(const struct access_context *c)
{
    return (struct filter_facts){
        .fcrdns = c->client.name_status == PEER_OK && !str_eq(c->client.name, STR("unknown")),
        .rdns = str_eq(c->client.reverse_name, STR("unknown")) ? STR_NONE : c->client.reverse_name,
        .address = c->client.address.bytes ? &c->client.address : NULL,
        .helo = c->helo,
        .user = c->sasl_username,
        .mail_from = c->sender,
        .rcpt_to = c->recipient,
    };
}
