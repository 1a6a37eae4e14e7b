/* PROXY protocol headers: what is accepted names IP addresses, and the rest of the input stays. */
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "wire/proxy_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proxy_header h;
    struct stream s;
    int pair[2];

    if (size > 4096)
        return 0;
    FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    FUZZ_CHECK(write(pair[1], data, size) == (ssize_t)size);
    close(pair[1]);
    stream_init(&s, pair[0], 1000);
    if (proxy_header_read(&s, &h, NULL) == RC_OK) {
        struct str rest = stream_peek(&s);
        FUZZ_CHECK(h.is_local || addr_family(&h.client) == AF_INET ||
                   addr_family(&h.client) == AF_INET6);
        FUZZ_CHECK(rest.n < size &&
                   memcmp(rest.p ? rest.p : "", data + size - rest.n, rest.n) == 0);
    }
    stream_done(&s);
    return 0;
}
