/*
 * DATA and BDAT decoders against plain byte-by-byte models. The first byte chooses decoder, bare LF
 * mode and line limit; for BDAT the second is the size of each chunk.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "wire/server.h"

enum { INPUT_MAX = 16384 };

static struct wire_server server_with(const uint8_t *data, size_t size)
{
    struct wire_server w;
    int pair[2];

    FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    FUZZ_CHECK(write(pair[1], data, size) == (ssize_t)size);
    close(pair[1]);
    wire_server_init(&w, pair[0], 8, 1000);
    return w;
}

/* What the decoder gives out, lines joined with LF. */
static void add(struct buf *out, struct str line, bool more)
{
    FUZZ_CHECK(line.n <= 8 || !more);
    FUZZ_CHECK(str_index(line, '\n') < 0);
    buf_add(out, line);
    if (!more)
        buf_addc(out, '\n');
}

/* The model: lines end with LF; CR before it belongs to the end. Returns what is left over. */
static struct str model_data(struct str in, bool strict, struct buf *out, bool *ended)
{
    bool previous = true;

    *ended = false;
    for (;;) {
        ssize_t lf = str_index(in, '\n');
        bool crlf = lf > 0 && in.p[lf - 1] == '\r';
        struct str line = str_head(in, lf < 0 ? 0 : (size_t)(lf - crlf));
        if (lf < 0)
            return in;
        in = str_from(in, (size_t)lf + 1);
        if (line.n == 1 && line.p[0] == '.') {
            if (!strict || (crlf && previous)) {
                *ended = true;
                return in;
            }
            previous = crlf;
            continue;
        }
        previous = crlf;
        if (line.n && line.p[0] == '.')
            line = str_from(line, 1);
        buf_add(out, line);
        buf_addc(out, '\n');
    }
}

static void fuzz_data(const uint8_t *data, size_t size, bool strict)
{
    struct wire_server w = server_with(data, size);
    struct wire_content c;
    struct str line, rest;
    AUTO_BUF got = {0}, want = {0};
    bool more, ended;
    enum rc rc;

    w.bare_lf = strict ? BARE_LF_NORMALIZE : BARE_LF_ALLOW;
    buf_init(&got, 1 << 20);
    buf_init(&want, 1 << 20);
    wire_content_begin(&c, &w);
    while ((rc = wire_data_line(&c, &line, &more, NULL)) == RC_OK)
        add(&got, line, more);
    rest = model_data((struct str){(const char *)data, size}, strict, &want, &ended);
    FUZZ_CHECK((rc == RC_NONE) == ended);
    if (ended) {
        FUZZ_CHECK(str_eq(buf_str(&got), buf_str(&want)));
        /* what follows is read as commands: not a byte of it may be lost */
        char left[INPUT_MAX];
        size_t n = stream_peek(&w.stream).n;
        memcpy(left, stream_peek(&w.stream).p, n);
        ssize_t more_bytes = read(w.stream.fd, left + n, sizeof left - n);
        n += more_bytes > 0 ? (size_t)more_bytes : 0;
        FUZZ_CHECK(str_eq(rest, (struct str){left, n}));
    }
    wire_content_done(&c);
    wire_server_done(&w);
}

static void model_chunks(struct str in, struct buf *out)
{
    while (in.n) {
        ssize_t lf = str_index(in, '\n');
        bool crlf = lf > 0 && in.p[lf - 1] == '\r';
        buf_add(out, lf < 0 ? in : str_head(in, (size_t)(lf - crlf)));
        buf_addc(out, '\n');
        in = lf < 0 ? STR_NONE : str_from(in, (size_t)lf + 1);
    }
}

static void fuzz_chunks(const uint8_t *data, size_t size, size_t chunk)
{
    struct wire_server w = server_with(data, size);
    struct wire_content c;
    struct str line;
    AUTO_BUF got = {0}, want = {0};
    bool more;

    buf_init(&got, 1 << 20);
    buf_init(&want, 1 << 20);
    wire_content_begin(&c, &w);
    for (size_t at = 0; at < size; at += chunk) {
        size_t n = size - at < chunk ? size - at : chunk;
        enum rc rc;
        wire_chunk_begin(&c, n, at + n == size);
        while ((rc = wire_chunk_line(&c, &line, &more, NULL)) == RC_OK)
            add(&got, line, more);
        FUZZ_CHECK(rc == RC_NONE);
    }
    model_chunks((struct str){(const char *)data, size}, &want);
    FUZZ_CHECK(str_eq(buf_str(&got), buf_str(&want)));
    wire_content_done(&c);
    wire_server_done(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3 || size > INPUT_MAX)
        return 0;
    if (data[0] & 1)
        fuzz_data(data + 2, size - 2, data[0] & 2);
    else
        fuzz_chunks(data + 2, size - 2, data[1] ? data[1] : 1);
    return 0;
}
