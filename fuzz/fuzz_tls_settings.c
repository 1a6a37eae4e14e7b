/* Protocol lists, log levels and excluded ciphers: what is accepted stays within its limits. */
#include <string.h>

#include "fuzz.h"
#include "tls/tls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    struct tls_protocols p = {0};
    unsigned bits = 0;
    struct why why;

    if (tls_protocols_parse(text, &p, &why) == RC_OK) {
        FUZZ_CHECK(p.min == 0 || p.max == 0 || p.min <= p.max);
        FUZZ_CHECK((p.off & ~0x3e000000UL) == 0); /* nothing but SSL_OP_NO_... of versions */
    } else {
        FUZZ_CHECK(why.text[0] != 0 && p.off == 0);
    }
    if (tls_loglevel_parse(text, &bits, &why) == RC_OK)
        FUZZ_CHECK(bits < 32);
    else
        FUZZ_CHECK(bits == 0);
    return 0;
}
