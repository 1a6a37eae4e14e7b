#include "dns/dns.h"

static const struct {
    const char *name;
    int number;
} types[] = {
    {"A", DNS_A},   {"NS", DNS_NS},   {"CNAME", DNS_CNAME}, {"SOA", DNS_SOA}, {"PTR", DNS_PTR},
    {"MX", DNS_MX}, {"TXT", DNS_TXT}, {"AAAA", DNS_AAAA},   {"SRV", DNS_SRV}, {"TLSA", DNS_TLSA},
};

const char *dns_type_name(int type)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].number == type)
            return types[i].name;
    return "unknown";
}

int dns_type_number(struct str name)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (str_eq_nocase(str_of(types[i].name), name))
            return types[i].number;
    return 0;
}

bool dns_name_is_valid(struct str name)
{
    size_t label = 0;

    if (name.n && name.p[name.n - 1] == '.')
        name.n--;
    if (name.n == 0 || name.n > 255 || dns_name_is_numeric(name))
        return false;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        if (is_alnum(c) || c == '_') {
            label++;
        } else if (c == '-') {
            if (label == 0 || i + 1 == name.n || name.p[i + 1] == '.')
                return false;
            label++;
        } else if (c == '.') {
            if (label == 0)
                return false;
            label = 0;
        } else {
            return false;
        }
        if (label > 63)
            return false;
    }
    return label > 0;
}

bool dns_name_is_numeric(struct str name)
{
    for (size_t i = 0; i < name.n; i++)
        if (!is_digit(name.p[i]) && name.p[i] != '.')
            return false;
    return name.n > 0;
}

struct str dns_record_text(const struct dns_record *r, struct arena *a)
{
    struct str head =
        arena_printf(a, STR_FMT ". %ld IN %s ", STR_ARG(r->name), r->ttl, dns_type_name(r->type));
    const unsigned char *raw = (const unsigned char *)r->raw.p;
    struct str tail = r->data;

    switch (r->type) {
    case DNS_NS:
    case DNS_CNAME:
    case DNS_PTR: tail = arena_printf(a, STR_FMT ".", STR_ARG(r->data)); break;
    case DNS_MX: tail = arena_printf(a, "%d " STR_FMT ".", r->preference, STR_ARG(r->data)); break;
    case DNS_SRV:
        tail = arena_printf(a, "%d %d %d " STR_FMT ".", r->preference, r->weight, r->port,
                            STR_ARG(r->data));
        break;
    case DNS_TLSA:
        if (r->raw.n >= 3)
            tail = arena_printf(a, "%d %d %d " STR_FMT, raw[0], raw[1], raw[2],
                                STR_ARG(str_from(r->data, 6)));
        break;
    default: break;
    }
    return arena_join(a, head, tail);
}
