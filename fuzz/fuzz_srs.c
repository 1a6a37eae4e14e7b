/* Recipients that look like rewritten senders: none passes that was not signed here. */
#include "auth/srs.h"
#include "config/config.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct config config = {
        .srs_secrets = STR("secret"), .srs_domain = STR("us.test"), .srs_lifetime = 4 * 86400};
    struct str address = {(const char *)data, size}, made, back;
    AUTO_ARENA a = arena_new(4096);
    struct srs *s = NULL;
    struct why why = {0};

    if (srs_open(&config, &s, &why) != RC_OK)
        return 0;
    (void)!srs_reverse(s, address, 1795280830, a, &back, &why);
    if (srs_forward(s, address, 1795280830, a, &made, &why) == RC_OK)
        FUZZ_CHECK(srs_reverse(s, made, 1795280830, a, &back, &why) == RC_OK);
    srs_close(s);
    return 0;
}
