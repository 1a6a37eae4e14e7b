#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "global/date.h"
#include "smtp-sink/sink.h"

/* The text is collected in memory and written at once, so that transactions that share a file do
   not mix, and none stays half. */
void dump_begin(struct client *c)
{
    const struct sink_options *o = &c->sink->o;
    char date[DATE_SIZE];
    unsigned id = (unsigned)random();

    if (o->single_dump == NULL && o->multi_dump == NULL)
        return;
    c->dump = open_memstream(&c->dump_text, &c->dump_bytes);
    if (c->dump == NULL)
        log_fatal(&c->sink->log, 1, "memory: %m");
    date_rfc5322(date, time(NULL));
    c->dump_id = id;
    fprintf(c->dump, STR_FMT, STR_ARG(o->dump_start));
    fprintf(c->dump, "X-Client-Addr: %s\nX-Client-Proto: %s\n", c->address, c->protocol);
    if (c->helo.n)
        fprintf(c->dump, "X-Helo-Args: " STR_FMT "\n", STR_ARG(c->helo));
    fprintf(c->dump, "X-Mail-Args: " STR_FMT "\n", STR_ARG(c->mail));
    for (size_t i = 0; i < c->rcpts.n; i++)
        fprintf(c->dump, "X-Rcpt-Args: " STR_FMT "\n", STR_ARG(c->rcpts.v[i]));
    if (c->helo.n)
        fprintf(c->dump, "Received: from " STR_FMT " ([%s])\n", STR_ARG(c->helo), c->address);
    else
        fprintf(c->dump, "Received: from [%s] ([%s])\n", c->address, c->address);
    fprintf(c->dump, "\tby %s (smtp-sink) with %s id %08x;\n\t%s\n", o->hostname, c->protocol, id,
            date);
}

void dump_add(struct client *c, struct str bytes)
{
    bool line = bytes.n && bytes.p[bytes.n - 1] == '\n';

    if (line)
        bytes.n -= bytes.n > 1 && bytes.p[bytes.n - 2] == '\r' ? 2 : 1;
    if (bytes.n)
        fwrite(bytes.p, 1, bytes.n, c->dump);
    if (line)
        putc('\n', c->dump);
}

static void make_directories(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(path, 0777);
        *slash = '/';
    }
}

/* The form is the user's, and strftime() has no arguments that it could reach. */
static size_t expand(char *path, size_t size, const char *form)
{
    time_t now = time(NULL);
    struct tm local;

    localtime_r(&now, &local);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    return strftime(path, size, form, &local);
#pragma GCC diagnostic pop
}

static int open_dump(struct client *c, char *path, size_t size)
{
    const struct sink_options *o = &c->sink->o;
    const char *form = o->single_dump ? o->single_dump : o->multi_dump;
    int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (o->single_dump ? O_EXCL : 0), fd;
    size_t n;

    for (;;) {
        n = expand(path, size - 16, form);
        if (n == 0)
            log_fatal(&c->sink->log, 1, "dump template \"%s\" gives no name, or too long a name",
                      form);
        if (o->single_dump)
            snprintf(path + n, size - n, "%08x", c->dump_id);
        fd = open(path, flags, 0644);
        if (fd < 0 && errno == ENOENT && strchr(path + 1, '/')) {
            make_directories(path);
            fd = open(path, flags, 0644);
        }
        if (fd >= 0 || errno != EEXIST)
            return fd;
        c->dump_id = (unsigned)random();
    }
}

void dump_end(struct client *c)
{
    char path[1024];
    size_t done = 0;
    int fd;

    if (c->dump == NULL)
        return;
    putc('\n', c->dump);
    if (fclose(c->dump) != 0)
        log_fatal(&c->sink->log, 1, "memory: %m");
    c->dump = NULL;
    fd = open_dump(c, path, sizeof path);
    if (fd < 0)
        log_fatal(&c->sink->log, 1, "open %s: %m", path);
    while (done < c->dump_bytes) {
        ssize_t n = write(fd, c->dump_text + done, c->dump_bytes - done);
        if (n < 0)
            log_fatal(&c->sink->log, 1, "write %s: %m", path);
        done += (size_t)n;
    }
    close(fd);
    free(c->dump_text);
    c->dump_text = NULL;
}

void dump_abandon(struct client *c)
{
    if (c->dump)
        fclose(c->dump);
    c->dump = NULL;
    free(c->dump_text);
    c->dump_text = NULL;
}
