#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config/config.h"
#include "postlogd/postlogd.h"
#include "util/file.h"
#include "util/memory.h"

enum { LINE_MAX_BYTES = 2000, LINES_PER_TURN = 256 };

struct lines {
    int file;   /* -1: no maillog_file; lines go to syslog */
    int socket; /* -1: not yet */
};

/* A name with the prefix and, below it, whole components: /var is no prefix of /variable. */
static bool is_allowed(struct str prefixes, struct str path)
{
    struct str prefix;

    while (str_token(&prefixes, LIST_SEPARATORS, &prefix)) {
        bool ends_component = prefix.p[prefix.n - 1] == '/' || path.n == prefix.n ||
                              (path.n > prefix.n && path.p[prefix.n] == '/');
        if (str_has_prefix(path, prefix) && ends_component)
            return true;
    }
    return false;
}

enum rc postlogd_start(struct service_env *env, void **state, struct why *why)
{
    const struct config *c = env->config;
    struct lines *l = NEW(struct lines);
    mode_t mode = (mode_t)strtoul(c->maillog_file_permissions.p, NULL, 8);

    l->file = l->socket = -1;
    *state = l;
    if (c->maillog_file.n == 0)
        return RC_OK;
    if (!is_allowed(c->maillog_file_prefixes, c->maillog_file))
        return FAIL(why, RC_CONFIG,
                    "maillog_file = " STR_FMT
                    ": not below a directory of maillog_file_prefixes (" STR_FMT ")",
                    STR_ARG(c->maillog_file), STR_ARG(c->maillog_file_prefixes));
    l->file =
        str_eq(c->maillog_file, STR("/dev/stdout"))
            ? STDOUT_FILENO
            : open(c->maillog_file.p, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, mode);
    if (l->file < 0)
        return FAIL(why, RC_CONFIG, "open %s: %m", c->maillog_file.p);
    return RC_OK;
}

/* Bytes that others sent: nothing that could look like a second line. */
static size_t clean(char *line, size_t n)
{
    while (n && (line[n - 1] == '\n' || line[n - 1] == '\0'))
        n--;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
            line[i] = '?';
    line[n] = '\n';
    return n + 1;
}

/* False: no more for now. */
static bool take_line(const struct service_env *env, const struct lines *l)
{
    char line[LINE_MAX_BYTES + 1];
    ssize_t n = recv(l->socket, line, LINE_MAX_BYTES, MSG_DONTWAIT);
    size_t bytes;

    if (n <= 0)
        return n == 0 || errno == EINTR;
    if (n == 1 && line[0] == 'W') /* a wake-up of master.cf */
        return true;
    bytes = clean(line, (size_t)n);
    if (l->file < 0)
        log_text(&env->log, LOG_LEVEL_INFO, (struct str){line, bytes - 1});
    else
        (void)!fd_write_all(l->file, (struct str){line, bytes}, NULL);
    return true;
}

struct reader {
    struct service_env *env;
    struct lines *lines;
};

static void lines_came(void *context, int events)
{
    const struct reader *r = context;

    (void)events;
    for (int i = 0; i < LINES_PER_TURN && take_line(r->env, r->lines); i++)
        ;
}

void postlogd_accepted(struct service_env *env, void *state, int fd)
{
    struct reader *r = NEW(struct reader);
    struct lines *l = state;

    l->socket = fd;
    *r = (struct reader){env, l};
    loop_watch(env->loop, fd, LOOP_READ, lines_came, r);
}

/* What has arrived before the end is written still. */
void postlogd_drain(struct service_env *env, void *state)
{
    while (take_line(env, state))
        ;
    service_exit(env);
}
