/* Content that the client half writes is what the server half reads: no line can end the data
 * early, none is changed. */
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "wire/client.h"
#include "wire/server.h"

enum { LINE_LIMIT = 2048 };

static bool write_content(int fd, struct str text)
{
    struct stream s;
    struct wire_text t = {.stream = &s};
    enum rc rc;

    stream_init(&s, fd, 1000);
    while (text.p)
        wire_text_put(&t, str_cut(&text, '\n'), false);
    wire_text_end(&t);
    stream_put(&s, STR("QUIT\r\n"));
    rc = stream_flush(&s, NULL);
    stream_done(&s);
    return rc == RC_OK;
}

static void check_line(struct wire_content *c, struct str want)
{
    struct str line;
    bool more = true;

    while (more) {
        FUZZ_CHECK(wire_data_line(c, &line, &more, NULL) == RC_OK);
        FUZZ_CHECK(line.n <= want.n && str_eq(line, str_head(want, line.n)));
        want = str_from(want, line.n);
    }
    FUZZ_CHECK(want.n == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size}, rest = text, command;
    struct wire_server server;
    struct wire_content content;
    struct str line;
    bool more;
    int pair[2];

    if (size == 0 || size > 30000 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
        return 0;
    wire_server_init(&server, pair[1], LINE_LIMIT, 1000);
    server.bare_lf = BARE_LF_REJECT;
    FUZZ_CHECK(write_content(pair[0], text));
    wire_content_begin(&content, &server);
    while (rest.p)
        check_line(&content, str_cut(&rest, '\n'));
    FUZZ_CHECK(wire_data_line(&content, &line, &more, NULL) == RC_NONE);
    wire_content_done(&content);
    FUZZ_CHECK(wire_command(&server, &command, NULL) == RC_OK && str_eq(command, STR("QUIT")));
    wire_server_done(&server);
    return 0;
}
