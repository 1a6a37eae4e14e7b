/* Messages of a SCRAM client, base64 and all: "first NEWLINE final". Nobody gets in without a key.
 */
#include "fuzz.h"
#include "sasl/scram.h"

static void check_base64(struct str text, struct arena *a)
{
    struct str bytes;
    bool ok = login_decode(a, text, text.n, &bytes, NULL) == RC_OK;

    FUZZ_CHECK(ok == login_is_base64(text));
    if (ok)
        FUZZ_CHECK(str_eq(login_encode(a, bytes), text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = arena_new(4096);
    struct str final = {(const char *)data, size}, first = str_cut(&final, '\n');
    struct scram_verifier v = {.iterations = 4096, .salt_n = 4}, parsed;
    struct scram s = {.arena = a};
    struct str answer;

    check_base64(first, a);
    if (scram_verifier_parse(first, &parsed, NULL) == RC_OK) {
        struct scram_verifier again;
        FUZZ_CHECK(scram_verifier_parse(scram_verifier_text(&parsed, a), &again, NULL) == RC_OK);
        FUZZ_CHECK(memcmp(&again, &parsed, sizeof again) == 0);
    }
    memset(v.stored_key, 7, sizeof v.stored_key);
    if (scram_first(&s, first, NULL) != RC_OK)
        return 0;
    FUZZ_CHECK(s.username.n > 0 && memchr(s.username.p, '\0', s.username.n) == NULL);
    scram_challenge(&s, &v, STR("nonce"));
    FUZZ_CHECK(scram_final(&s, &v, final, &answer, NULL) != RC_OK);
    return 0;
}
