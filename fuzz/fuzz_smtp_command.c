/* Command lines: no line is longer than the limit, none is lost, an over-long one is skipped whole.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "global/address.h"
#include "wire/server.h"

enum { INPUT_MAX = 16384, LIMIT = 64 };

/* The model: the next line of the input, or false. */
static bool next_line(struct str *in, struct str *line)
{
    ssize_t lf = str_index(*in, '\n');

    if (lf < 0)
        return false;
    *line = str_head(*in, (size_t)lf);
    if (line->n && line->p[line->n - 1] == '\r')
        line->n--;
    *in = str_from(*in, (size_t)lf + 1);
    return true;
}

/* What passes as an address holds nothing that could end a line of a log or of another dialogue. */
static void parse_path(struct str line)
{
    AUTO_ARENA a = arena_new(512);
    struct str address, rest;
    ssize_t colon = str_index(line, ':');

    if (colon < 0 || address_parse_path(str_from(line, (size_t)colon + 1), false, true, a, &address,
                                        &rest, NULL) != RC_OK)
        return;
    for (size_t i = 0; i < address.n; i++)
        FUZZ_CHECK(address.p[i] != '\r' && address.p[i] != '\n' && address.p[i] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = {(const char *)data, size}, line, want;
    struct wire_server w;
    int pair[2];
    enum rc rc;

    if (size > INPUT_MAX)
        return 0;
    FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    FUZZ_CHECK(write(pair[1], data, size) == (ssize_t)size);
    close(pair[1]);
    wire_server_init(&w, pair[0], LIMIT, 1000);
    while ((rc = wire_command(&w, &line, NULL)) == RC_OK || rc == RC_PERM) {
        FUZZ_CHECK(next_line(&in, &want));
        FUZZ_CHECK((rc == RC_PERM) == (want.n > LIMIT));
        if (rc == RC_OK) {
            FUZZ_CHECK(str_eq(line, str_rtrim(want)));
            parse_path(line);
        }
    }
    FUZZ_CHECK(!next_line(&in, &want));
    wire_server_done(&w);
    return 0;
}
