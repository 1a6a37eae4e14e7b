/* TLSA record sets, each record behind a byte with its length: what is chosen can be used, and is
 * one of the best of its kind. */
#include "fuzz.h"
#include "tls/dane.h"

enum { RECORDS_MAX = 40 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tlsa_digests d = {{TLSA_SHA512, TLSA_SHA256}, 2};
    struct tlsa v[RECORDS_MAX] = {0}, all[RECORDS_MAX];
    size_t n = 0, total, at = 0;

    while (at < size && n < RECORDS_MAX) {
        size_t length = data[at++];
        if (length > size - at)
            length = size - at;
        if (tlsa_parse((struct str){(const char *)data + at, length}, &v[n], NULL) == RC_OK)
            n++;
        at += length;
    }
    total = n;
    memcpy(all, v, sizeof v);
    n = tlsa_choose(v, n, &d, NULL, STR("x"));
    FUZZ_CHECK(n <= total);
    for (size_t i = 0; i < n; i++)
        FUZZ_CHECK(tlsa_is_usable(&v[i], &d, NULL));
    for (size_t i = 0; i < total; i++) /* none is lost whose kind has no better one */
        if (tlsa_is_usable(&all[i], &d, NULL)) {
            bool found = false;
            for (size_t j = 0; j < n; j++)
                found = found || (v[j].usage == all[i].usage && v[j].selector == all[i].selector);
            FUZZ_CHECK(found);
        }
    return 0;
}
