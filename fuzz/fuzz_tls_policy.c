/* Entries of smtp_tls_policy_maps: what is accepted has a level and only attributes that go with
 * it, and no empty name. */
#include "fuzz.h"
#include "tls/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = arena_new(4096);
    struct tls_policy_entry e = {0};

    if (tls_policy_parse((struct str){(const char *)data, size}, a, &e, NULL) != RC_OK)
        return 0;
    FUZZ_CHECK(e.level != TLS_LEVEL_HALF_DANE);
    FUZZ_CHECK(e.match.n == 0 || e.level == TLS_LEVEL_FINGERPRINT || e.level >= TLS_LEVEL_VERIFY);
    FUZZ_CHECK(e.trust_anchors.n == 0 || e.level >= TLS_LEVEL_VERIFY);
    FUZZ_CHECK(e.level != TLS_LEVEL_NONE ||
               (e.protocols.n == 0 && e.ciphers.n == 0 && !e.has_exclude && !e.has_servername));
    for (size_t i = 0; i < e.match.n; i++)
        FUZZ_CHECK(e.match.v[i].n > 0);
    return 0;
}
