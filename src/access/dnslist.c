/*
 * DNS block and allow lists (RFC 5782): "zone" or "zone=pattern", where the pattern of an IPv4
 * address has numbers, and [2;5..9] for sets and ranges, in its four places.
 */

#include "access/restrictions.h"
#include "config/config.h"
#include "global/text.h"
#include "util/buf.h"

struct octet {
    unsigned char may[32]; /* one bit per value */
};

struct dns_list {
    struct str zone;
    struct str text; /* as written, with filter */
    bool filtered;
    struct octet octets[4];
};

static void allow(struct octet *o, long from, long to)
{
    for (long i = from; i <= to; i++)
        o->may[i / 8] |= (unsigned char)(1 << i % 8);
}

/* "5" or "2..8" */
static bool allow_range(struct octet *o, struct str text)
{
    ssize_t dots = str_find(text, STR(".."));
    struct str first = dots < 0 ? text : str_head(text, (size_t)dots);
    struct str second = dots < 0 ? text : str_from(text, (size_t)dots + 2);
    long from, to;

    if (!str_to_long(first, 0, 255, &from) || !str_to_long(second, 0, 255, &to) || from > to)
        return false;
    allow(o, from, to);
    return true;
}

/* One place of the pattern is taken off *rest. */
static bool parse_octet(struct str *rest, struct octet *o)
{
    struct str inside, range;
    ssize_t end;

    if (rest->n == 0 || rest->p[0] != '[') {
        inside = str_cut(rest, '.');
        return allow_range(o, inside);
    }
    end = str_index(*rest, ']');
    if (end < 0)
        return false;
    inside = (struct str){rest->p + 1, (size_t)end - 1};
    *rest = str_from(*rest, (size_t)end + 1);
    if (rest->n && rest->p[0] != '.')
        return false;
    *rest = str_from(*rest, 1);
    while (str_token(&inside, ";", &range))
        if (!allow_range(o, range))
            return false;
    return true;
}

enum rc dns_list_compile(struct arena *a, struct str text, const struct dns_list **out,
                         struct why *why)
{
    struct dns_list *list = arena_new_of(a, struct dns_list);
    struct str rest = arena_copy(a, text);

    list->text = rest;
    list->zone = str_cut(&rest, '=');
    list->filtered = rest.p != NULL;
    for (int i = 0; list->filtered && i < 4; i++)
        if (!parse_octet(&rest, &list->octets[i]))
            return FAIL(why, RC_CONFIG,
                        "bad DNS list filter \"" STR_FMT "\": write zone=d.d.d.d, where d is a "
                        "number or [number;number..number]",
                        STR_ARG(text));
    if (list->zone.n == 0 || rest.n)
        return FAIL(why, RC_CONFIG, "bad DNS list \"" STR_FMT "\": write zone or zone=d.d.d.d",
                    STR_ARG(text));
    *out = list;
    return RC_OK;
}

static bool filter_matches(const struct dns_list *list, const struct addr *a)
{
    const unsigned char *bytes = (const unsigned char *)&a->in.sin_addr;

    if (addr_family(a) != AF_INET)
        return false;
    for (int i = 0; list->filtered && i < 4; i++)
        if ((list->octets[i].may[bytes[i] / 8] & (1 << bytes[i] % 8)) == 0)
            return false;
    return true;
}

struct str dns_list_query(struct access_context *c, struct str zone)
{
    const struct addr *a = &c->client.address;
    AUTO_BUF b = {0};

    buf_init(&b, 512);
    if (addr_family(a) == AF_INET) {
        const unsigned char *v4 = (const unsigned char *)&a->in.sin_addr;
        buf_addf(&b, "%d.%d.%d.%d.", v4[3], v4[2], v4[1], v4[0]);
    } else if (addr_family(a) == AF_INET6) {
        for (int i = 15; i >= 0; i--)
            buf_addf(&b, "%x.%x.", a->in6.sin6_addr.s6_addr[i] & 15,
                     a->in6.sin6_addr.s6_addr[i] >> 4);
    }
    buf_add(&b, zone);
    return b.over ? STR("") : arena_copy(c->arena, buf_str(&b));
}

/* RC_OK: listed. RC_TEMP: no answer. */
static enum rc is_listed(struct access_context *c, const struct dns_list *list, struct str query)
{
    struct dns_answer answer = {0};
    enum dns_status status;

    if (query.n == 0)
        return RC_NONE;
    status = dns_lookup(c->access->resolver, query, DNS_A, c->arena, &answer, NULL);
    if (status == DNS_RETRY || status == DNS_BOGUS || status == DNS_INVALID) {
        log_warning(c->log, STR_FMT ": RBL lookup error: no answer from the name server",
                    STR_ARG(query));
        return RC_TEMP;
    }
    if (status != DNS_FOUND)
        return RC_NONE;
    for (size_t i = 0; i < answer.n; i++)
        if (answer.records[i].type == DNS_A && filter_matches(list, &answer.records[i].address))
            return RC_OK;
    return RC_NONE;
}

struct listing {
    struct access_context *c;
    const struct dns_list *list;
    struct str code, class, what, reason;
};

static bool listing_value(void *context, struct str name, struct str *value)
{
    const struct listing *l = context;
    const struct {
        const char *name;
        struct str value;
    } values[] = {
        {"rbl_code", l->code},
        {"rbl_class", l->class},
        {"rbl_what", l->what},
        {"rbl_domain", l->list->zone},
        {"rbl_reason", l->reason},
        {"rbl_txt", l->reason},
        {"client", l->c->client.label},
        {"client_address", l->c->client.address_text},
        {"client_name", l->c->client.name},
        {"client_port", l->c->client.port},
        {"reverse_client_name", l->c->client.reverse_name},
        {"helo_name", l->c->helo},
        {"sender", l->c->sender},
        {"recipient", l->c->recipient},
    };

    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        if (str_eq(name, str_of(values[i].name))) {
            *value = values[i].value;
            return true;
        }
    return config_get(l->c->access->config, name, value) == RC_OK;
}

static struct str template_for(struct access_context *c, const struct dns_list *list)
{
    struct str found;
    struct why why;
    enum rc rc = maps_get(c->access->rbl_replies, list->text, c->arena, &found, &why);

    if (rc == RC_NONE && list->filtered)
        rc = maps_get(c->access->rbl_replies, list->zone, c->arena, &found, &why);
    if (rc == RC_OK)
        return found;
    if (rc != RC_NONE)
        log_warning(c->log, "rbl_reply_maps: %s", why.text);
    return c->access->config->default_rbl_reply;
}

static struct str reason_of(struct access_context *c, struct str query)
{
    struct dns_answer answer = {0};

    if (dns_lookup(c->access->resolver, query, DNS_TXT, c->arena, &answer, NULL) != DNS_FOUND)
        return STR("");
    for (size_t i = 0; i < answer.n; i++)
        if (answer.records[i].type == DNS_TXT)
            return answer.records[i].data;
    return STR("");
}

static enum verdict refuse_listed(struct access_context *c, const struct dns_list *list,
                                  struct str query, struct str what, const char *class)
{
    const struct config *config = c->access->config;
    struct listing l = {c, list, STR_NONE, str_of(class), what, reason_of(c, query)};
    struct str text;
    long code;

    l.code = arena_printf(c->arena, "%ld", config->maps_rbl_reject_code);
    text = text_expand(c->arena, template_for(c, list), listing_value, &l, NULL);
    if (text.n > 4 && str_to_long(str_head(text, 3), 400, 599, &code))
        text = str_ltrim(str_from(text, 3));
    else
        code = config->maps_rbl_reject_code;
    return access_refuse(c, code, "5.7.1", text);
}

static enum verdict reject_if_listed(struct access_context *c, const struct dns_list *list,
                                     struct str query, struct str what, const char *class)
{
    return is_listed(c, list, query) == RC_OK ? refuse_listed(c, list, query, what, class) : DUNNO;
}

/* A name below the zone. Addresses and single labels are listed nowhere. */
static struct str name_query(struct access_context *c, const struct dns_list *list, struct str name)
{
    if (name.n == 0 || name.p[0] == '[' || str_index(name, '.') < 0 || dns_name_is_numeric(name))
        return STR("");
    return arena_printf(c->arena, STR_FMT "." STR_FMT, STR_ARG(name), STR_ARG(list->zone));
}

/* An allow list that does not answer must not turn into a refusal for good. */
static enum verdict permit_if_listed(struct access_context *c, const struct dns_list *list,
                                     struct str query)
{
    switch (is_listed(c, list, query)) {
    case RC_OK: return PERMIT;
    case RC_NONE: return DUNNO;
    default:
        return defer_if(c, &c->if_reject, 450, "4.7.1",
                        subject_text(c, c->client.label, CLASS_CLIENT, STR("Service unavailable")));
    }
}

enum verdict permit_dnswl_client(struct access_context *c, const struct step *s)
{
    return permit_if_listed(c, s->dns_list, dns_list_query(c, s->dns_list->zone));
}

enum verdict permit_rhswl_client(struct access_context *c, const struct step *s)
{
    if (c->client.name_status != PEER_OK)
        return DUNNO;
    return permit_if_listed(c, s->dns_list, name_query(c, s->dns_list, c->client.name));
}

enum verdict reject_rbl_client(struct access_context *c, const struct step *s)
{
    if (c->client.address_text.n == 0)
        return DUNNO;
    return reject_if_listed(c, s->dns_list, dns_list_query(c, s->dns_list->zone),
                            c->client.address_text, CLASS_CLIENT);
}

enum verdict reject_rhsbl_client(struct access_context *c, const struct step *s)
{
    if (str_eq(c->client.name, STR("unknown")))
        return DUNNO;
    return reject_if_listed(c, s->dns_list, name_query(c, s->dns_list, c->client.name),
                            c->client.name, CLASS_CLIENT);
}

enum verdict reject_rhsbl_reverse_client(struct access_context *c, const struct step *s)
{
    if (str_eq(c->client.reverse_name, STR("unknown")))
        return DUNNO;
    return reject_if_listed(c, s->dns_list, name_query(c, s->dns_list, c->client.reverse_name),
                            c->client.reverse_name, CLASS_REVERSE);
}

enum verdict reject_rhsbl_helo(struct access_context *c, const struct step *s)
{
    if (c->helo.p == NULL)
        return DUNNO;
    return reject_if_listed(c, s->dns_list, name_query(c, s->dns_list, c->helo), c->helo,
                            CLASS_HELO);
}

static enum verdict reject_address(struct access_context *c, const struct step *s,
                                   struct str address, const char *class)
{
    struct str domain = domain_of(address);

    return reject_if_listed(c, s->dns_list, name_query(c, s->dns_list, domain), address, class);
}

enum verdict reject_rhsbl_sender(struct access_context *c, const struct step *s)
{
    return c->sender.p ? reject_address(c, s, c->sender, CLASS_SENDER) : DUNNO;
}

enum verdict reject_rhsbl_recipient(struct access_context *c, const struct step *s)
{
    return c->recipient.p ? reject_address(c, s, c->recipient, CLASS_RECIPIENT) : DUNNO;
}
