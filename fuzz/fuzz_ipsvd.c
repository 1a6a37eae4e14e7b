/* Instruction files of ipsvd: a file that passes the check says the same each time it is applied,
 * and never fails. */
#include "fuzz.h"
#include "table/ipsvd.h"

static enum rc one_host(void *context, struct str host, const struct addr *client)
{
    (void)context;
    (void)client;
    return str_eq(host, STR("a.test")) ? RC_OK : RC_NONE;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size}, forward = STR_NONE;
    struct client_query q = {.has_address = one_host};
    AUTO_ARENA a = arena_new(4096);
    struct client_rule rule = {0}, again = {0};
    struct why why = {0};
    enum rc rc = ipsvd_check(text, "F", NULL, &why);

    if (rc != RC_OK) {
        FUZZ_CHECK(rc == RC_CONFIG && strncmp(why.text, "F, line ", 8) == 0);
        return 0;
    }
    FUZZ_CHECK(addr_parse(STR("10.1.2.3"), 0, &q.address, NULL) == RC_OK);
    FUZZ_CHECK(ipsvd_apply(text, &q, true, a, &rule, &forward, &why) == RC_OK);
    FUZZ_CHECK(ipsvd_apply(text, &q, true, a, &again, &forward, &why) == RC_OK);
    FUZZ_CHECK(rule.decision == again.decision && rule.variables.n == again.variables.n);
    FUZZ_CHECK(rule.variables.n <= 64 + 2);
    return 0;
}
