#include "smtp/generic.h"

#include "global/address.h"
#include "global/header.h"

/* Domains for which a key without domain stands: myorigin, mydestination, our address literals. */
static bool is_local(void *context, struct str domain)
{
    struct smtp *s = context;
    struct addr literal;

    if (str_eq_nocase(domain, s->config->myorigin) ||
        match_get(s->my_destination, domain, NULL) == RC_OK)
        return true;
    return address_domain_is_literal(domain) && addr_parse(domain, 0, &literal, NULL) == RC_OK &&
           own_address_has(s, &literal);
}

/* What the table says, made a complete address. */
static struct str complete(struct smtp *s, struct str value, struct str address,
                           struct str extension, struct arena *a)
{
    struct address_parts was = address_split(address), is;

    value = address_unquote(a, str_trim(value));
    if (value.n > 1 && value.p[0] == '@')
        return address_join(a, was.local, str_from(value, 1));
    is = address_split(value);
    if (extension.n)
        is.local = arena_join(a, is.local, extension);
    return address_join(a, is.local, is.has_domain ? is.domain : s->config->myorigin);
}

enum rc generic_map(struct smtp *s, struct str address, struct arena *a, struct str *out,
                    struct why *why)
{
    const struct address_keys how = {
        .delimiters = s->config->recipient_delimiter,
        .is_local = is_local,
        .context = s,
        .with_domain_only = true,
    };
    struct str value, extension = STR_NONE;
    enum rc rc;

    if (maps_empty(s->generic_maps) || address.n == 0)
        return RC_NONE;
    rc = maps_get_address(s->generic_maps, address, &how, a, &value, &extension, why);
    if (rc == RC_NONE)
        return RC_NONE;
    if (rc != RC_OK) {
        log_warning(&s->log, "%s_generic_maps map lookup problem for " STR_FMT ": %s",
                    s->lmtp ? "lmtp" : "smtp", STR_ARG(address), why->text);
        return RC_TEMP;
    }
    *out = complete(s, value, address, s->extend_generic ? extension : STR_NONE, a);
    return str_eq(*out, address) ? RC_NONE : RC_OK;
}

struct change {
    struct smtp *smtp;
    enum rc rc;
};

static enum rc change_address(void *context, struct str address, struct arena *a, struct str *out,
                              struct why *why)
{
    struct change *c = context;
    enum rc rc = generic_map(c->smtp, address, a, out, why);

    if (rc == RC_TEMP)
        c->rc = rc;
    return rc == RC_TEMP ? RC_NONE : rc;
}

enum rc generic_header(struct smtp *s, struct str header, struct arena *a, struct str *out,
                       struct why *why)
{
    const struct header_field *f = header_find(str_head(header, header_name_length(header)));
    struct change change = {s, RC_OK};
    ssize_t colon = str_index(header, ':');
    struct str body;
    enum rc rc;

    if (f == NULL || !(f->flags & (HEADER_SENDER | HEADER_RECIPIENT)) || colon < 0)
        return RC_NONE;
    rc = address_list_rewrite(str_from(header, (size_t)colon + 1), change_address, &change, a,
                              &body, why);
    if (change.rc != RC_OK)
        return change.rc;
    if (rc != RC_OK)
        return RC_NONE; /* nothing to change, or not understood: left as it is */
    *out = arena_join(a, str_head(header, (size_t)colon + 1), body);
    return RC_OK;
}
