/* Replies of an SMTP server: bounded, printable, and a status of the class of the code. */
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "global/dsn.h"
#include "wire/client.h"

static void check(const struct wire_client_reply *r)
{
    struct wire_features f;

    FUZZ_CHECK(r->text.n <= WIRE_REPLY_MAX);
    for (size_t i = 0; i < r->text.n; i++)
        FUZZ_CHECK((unsigned char)r->text.p[i] >= ' ' || r->text.p[i] == '\n');
    FUZZ_CHECK(r->code == 0 || (r->code >= 200 && r->code <= 599));
    FUZZ_CHECK(r->code == 0 || r->status.p[0] == '0' + r->code / 100);
    wire_features_parse(r->text, 0, &f);
    FUZZ_CHECK(f.size_limit >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_client w;
    struct wire_client_reply r;
    int pair[2];

    if (size > 60000 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
        return 0;
    if (write(pair[1], data, size) == (ssize_t)size) {
        shutdown(pair[1], SHUT_WR);
        wire_client_init(&w, pair[0], 1000);
        while (wire_client_read(&w, &r, NULL) == RC_OK)
            check(&r);
        wire_client_done(&w);
    } else {
        close(pair[0]);
    }
    close(pair[1]);
    return 0;
}
