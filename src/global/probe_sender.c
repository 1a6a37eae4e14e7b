#include "global/probe_sender.h"

#include "config/config.h"
#include "global/address.h"

static struct str with_suffix(const struct config *config, struct arena *a, struct str local,
                              time_t now)
{
    long ttl = config->address_verify_sender_ttl;

    return ttl > 0 ? arena_printf(a, STR_FMT "%lx", STR_ARG(local), (long)now / ttl) : local;
}

static bool is_null(const struct config *config)
{
    return config->address_verify_sender.n == 0 || str_eq(config->address_verify_sender, STR("<>"));
}

struct str probe_sender(const struct config *config, struct arena *a, time_t now)
{
    struct address_parts parts = address_split(config->address_verify_sender);

    if (is_null(config))
        return STR("");
    return address_join(a, with_suffix(config, a, parts.local, now),
                        parts.has_domain ? parts.domain : config->myorigin);
}

/* The answer to a probe may come late, and clocks differ: the neighbours count, too. */
bool probe_sender_is(const struct config *config, struct str address, struct arena *a, time_t now,
                     struct str *base)
{
    struct address_parts is = address_split(address),
                         want = address_split(config->address_verify_sender);
    long ttl = config->address_verify_sender_ttl;

    if (ttl <= 0 || is_null(config))
        return false;
    for (long i = -1; i <= 1; i++) {
        if (!str_eq_nocase(is.local, with_suffix(config, a, want.local, now + i * ttl)))
            continue;
        *base = is.has_domain ? address_join(a, want.local, is.domain) : want.local;
        return true;
    }
    return false;
}
