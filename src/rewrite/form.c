/*
 * The standard form of addresses: user@domain, whatever was left out or written in another style.
 * Addresses are in internal form; a local part that would need quotes is taken as one word, so
 * that what stands inside quotes is no routing operator here.
 */
#include "config/config.h"
#include "global/address.h"
#include "rewrite/rewriter.h"

struct form form_of(const struct config *config, enum rewrite_context context)
{
    struct form form = {.swap_bangpath = config->swap_bangpath,
                        .percent_hack = config->allow_percent_hack};

    if (context == REWRITE_REMOTE) {
        form.origin = form.domain = config->remote_header_rewrite_domain;
        return form;
    }
    if (config->append_at_myorigin)
        form.origin = config->myorigin;
    if (config->append_dot_mydomain)
        form.domain = config->mydomain;
    return form;
}

struct str form_join(struct arena *a, struct str x, struct str between, struct str y)
{
    return arena_join(a, arena_join(a, x, between), y);
}

struct str form_without_dot(struct str address)
{
    if (address.n < 2 || address.p[address.n - 1] != '.' || address.p[address.n - 2] == '.' ||
        address.p[address.n - 2] == '@')
        return address;
    return str_head(address, address.n - 1);
}

static bool is_one_word(struct str local, struct arena *a)
{
    return !str_eq(address_quote_822(a, local), local);
}

/* "@a,@b:user@c" -> "user@c". */
static struct str without_route(struct str address)
{
    ssize_t colon = str_index(address, ':');

    if (address.n && address.p[0] == '@' && colon >= 0 && (size_t)colon + 1 < address.n)
        return str_from(address, (size_t)colon + 1);
    return address;
}

/* Give an address without domain one: site!user, user%domain, user. */
static struct str with_domain(const struct form *form, struct str user, struct arena *a)
{
    if (form->looks_into_quotes || !is_one_word(user, a)) {
        ssize_t at = form->swap_bangpath ? str_index(user, '!') : -1;
        if (at >= 0) {
            struct str rest = str_from(user, (size_t)at + 1), site = str_head(user, (size_t)at);
            return form_join(a, rest, STR("@"), site);
        }
        at = form->percent_hack ? str_rindex(user, '%') : -1;
        if (at >= 0) {
            struct str domain = str_from(user, (size_t)at + 1);
            user = str_head(user, (size_t)at);
            return form_join(a, user, STR("@"), domain);
        }
    }
    if (form->origin.n == 0)
        return user;
    if (form->origin.p[0] == '@')
        return arena_join(a, user, form->origin);
    return form_join(a, user, STR("@"), form->origin);
}

struct str form_rewrite(const struct form *form, struct str address, struct arena *a)
{
    struct str domain;
    ssize_t at;

    if (str_eq(address, STR("@")))
        address = STR("");
    if (address.n == 0)
        return address;
    address = without_route(address);
    if (str_rindex(address, '@') < 0)
        address = with_domain(form, address, a);
    at = str_rindex(address, '@');
    if (at < 0)
        return address;
    domain = str_from(address, (size_t)at + 1);
    if (form->domain.n && domain.n && domain.p[0] != '[' && str_index(domain, '.') < 0)
        return form_join(a, address, STR("."), form->domain);
    return form_without_dot(address);
}
