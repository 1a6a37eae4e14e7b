#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "smtp/auth.h"
#include "util/file.h"

enum { TOKEN_MAX = 8192, TOKEN_TIMEOUT_MS = 30 * 1000 };

enum rc token_source_check(const char *parameter, struct str source, struct why *why)
{
    struct str rest = source, kind = str_cut(&rest, ':');

    if (source.n == 0)
        return RC_OK;
    if ((str_eq(kind, STR("file")) && rest.n && rest.p[0] == '/') ||
        (str_eq(kind, STR("unix")) && rest.n) || (str_eq(kind, STR("inet")) && rest.n))
        return RC_OK;
    return FAIL(why, RC_CONFIG,
                "%s = " STR_FMT
                ": say file:/path, unix:path or inet:host:port; a command is run by a spawn "
                "service of master.cf",
                parameter, STR_ARG(source));
}

/* %s: the user, %h: the server, %%: a percent sign. A name cannot lead to another directory. */
static enum rc expand(struct str path, struct str username, struct str host, struct buf *out,
                      struct why *why)
{
    for (size_t i = 0; i < path.n; i++) {
        char letter = i + 1 < path.n ? path.p[i + 1] : '\0';
        struct str value = letter == 's' ? username : letter == 'h' ? host : STR("%");
        if (path.p[i] != '%' || (letter != 's' && letter != 'h' && letter != '%')) {
            buf_addc(out, path.p[i]);
            continue;
        }
        if (letter != '%' && (str_index(value, '/') >= 0 || value.p[0] == '.'))
            return FAIL(why, RC_TEMP, "\"" STR_FMT "\" cannot be part of a file name",
                        STR_ARG(value));
        buf_add(out, value);
        i++;
    }
    return out->over ? FAIL(why, RC_TEMP, "a file name that is too long") : RC_OK;
}

static enum rc from_file(struct str path, char *text, size_t *n, struct why *why)
{
    AUTO_CLOSE int fd = open(path.p, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    ssize_t got;

    if (fd < 0)
        return FAIL(why, RC_TEMP, "open %s: %m", path.p);
    got = read(fd, text, TOKEN_MAX);
    if (got < 0)
        return FAIL(why, RC_TEMP, "read %s: %m", path.p);
    *n = (size_t)got;
    return RC_OK;
}

static enum rc dial(struct str kind, struct str name, int *fd, struct why *why)
{
    AUTO_ARENA a = arena_new(512);
    struct str host, port;
    struct addr to;

    if (str_eq(kind, STR("unix")))
        return net_connect_unix(arena_text(a, name), SOCK_STREAM, TOKEN_TIMEOUT_MS, fd, why);
    TRY(host_port_split(name, &host, &port, why));
    if (str_eq(host, STR("localhost")))
        host = STR("127.0.0.1");
    if (addr_parse(host, port_of(port), &to, why) != RC_OK || addr_port(&to) == 0)
        return FAIL(why, RC_TEMP, "inet:" STR_FMT ": give an address and a port", STR_ARG(name));
    return net_connect(&to, NULL, TOKEN_TIMEOUT_MS, fd, why);
}

/* A service gets "user server" in a line, and answers with the token in a line; that one may lack
 * its end. */
static enum rc ask(int fd, struct str username, struct str host, char *text, size_t *n,
                   struct why *why)
{
    struct stream s;
    struct str bytes;
    enum rc rc;

    stream_init(&s, fd, TOKEN_TIMEOUT_MS);
    stream_putf(&s, STR_FMT " " STR_FMT "\n", STR_ARG(username), STR_ARG(host));
    rc = stream_flush(&s, why);
    if (rc == RC_OK)
        shutdown(fd, SHUT_WR);
    while (rc == RC_OK && *n < TOKEN_MAX && memchr(text, '\n', *n) == NULL) {
        rc = stream_fill(&s, &bytes, why);
        if (rc != RC_OK)
            break;
        bytes = str_head(bytes, TOKEN_MAX - *n);
        memcpy(text + *n, bytes.p, bytes.n);
        stream_consume(&s, bytes.n);
        *n += bytes.n;
    }
    stream_done(&s);
    if (*n == TOKEN_MAX)
        return FAIL(why, RC_TEMP, "an answer that is too long");
    return rc == RC_OK || rc == RC_EOF ? RC_OK : RC_TEMP;
}

static enum rc fetch(struct str source, struct str username, struct str host, char *text, size_t *n,
                     struct why *why)
{
    struct str name = source, kind = str_cut(&name, ':');
    AUTO_BUF path;
    int fd = -1;

    buf_init(&path, 1024);
    if (str_eq(kind, STR("file"))) {
        TRY(expand(name, username, host, &path, why));
        return from_file(buf_str(&path), text, n, why);
    }
    TRY(dial(kind, name, &fd, why));
    return ask(fd, username, host, text, n, why);
}

/* RFC 6750 2.1: anything else would break the message it stands in. */
static bool is_token(struct str text)
{
    for (size_t i = 0; i < text.n; i++)
        if (!is_alnum(text.p[i]) && strchr("-._~+/=:|", text.p[i]) == NULL)
            return false;
    return text.n > 0;
}

enum rc token_get(struct str source, struct str username, struct str host, struct arena *a,
                  struct str *token, struct why *why)
{
    char text[TOKEN_MAX];
    size_t n = 0;
    struct str rest, line;
    enum rc rc = fetch(source, username, host, text, &n, why);

    if (rc != RC_OK) {
        why_prefix(why, STR_FMT, STR_ARG(source));
        return RC_TEMP;
    }
    rest = (struct str){text, n};
    line = str_trim(str_cut(&rest, '\n'));
    if (!is_token(line))
        return FAIL(why, RC_TEMP, STR_FMT " has no token for " STR_FMT, STR_ARG(source),
                    STR_ARG(username));
    *token = arena_copy(a, line);
    explicit_bzero(text, sizeof text);
    return RC_OK;
}
