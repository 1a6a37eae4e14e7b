/*
 * Addresses through the rewriter: a resolved recipient resolves to itself, whatever was hidden in
 * the local part, and never to a domain of ours with a foreign one inside.
 */
#include "config/config.h"
#include "fuzz.h"
#include "rewrite/rewrite.h"

static struct rewriter *make(void)
{
    static const struct log log; /* warnings would go to standard error: none are due */
    struct str main_cf = STR("myhostname = host.example\nmydestination = host.example, localhost\n"
                             "virtual_alias_domains = alias.example\n"
                             "virtual_mailbox_domains = box.example\n"
                             "relay_domains = relay.example\ninet_interfaces = 127.0.0.1\n"
                             "recipient_delimiter = +\nallow_min_user = yes\n");
    struct config_request request = {.dir = "/nonexistent", .main_cf = &main_cf};
    struct config *config;
    struct rewriter *r;

    FUZZ_CHECK(config_load(&request, &config, NULL) == RC_OK);
    FUZZ_CHECK(rewriter_new(config, &log, &r, NULL) == RC_OK);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct rewriter *r;
    AUTO_ARENA a = arena_new(4096);
    struct str address = {(const char *)data, size}, form, again;
    struct resolved one, two;

    if (size > 1000)
        return 0;
    if (r == NULL)
        r = make();
    FUZZ_CHECK(rewrite_address(r, REWRITE_LOCAL, address, a, &form, NULL) == RC_OK);
    FUZZ_CHECK(form.n == 0 || str_index(form, '@') >= 0);
    FUZZ_CHECK(rewrite_address(r, REWRITE_REMOTE, address, a, &again, NULL) == RC_OK);
    FUZZ_CHECK(resolve_address(r, STR(""), address, false, a, &one, NULL) == RC_OK);
    if (one.flags & RESOLVE_BAD_ADDRESS)
        return 0;
    FUZZ_CHECK(resolve_address(r, STR(""), one.recipient, false, a, &two, NULL) == RC_OK);
    FUZZ_CHECK(str_eq(one.recipient, two.recipient));
    FUZZ_CHECK(one.flags == two.flags && str_eq(one.nexthop, two.nexthop));
    FUZZ_CHECK(!(one.flags & RESOLVE_LOCAL) || !(one.flags & RESOLVE_ROUTED));
    return 0;
}
