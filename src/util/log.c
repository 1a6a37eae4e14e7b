#include "util/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/memory.h"

enum { LINE_MAX_BYTES = 2000, PREFIX_MAX_BYTES = 256, LEVEL_MAX_BYTES = 16 };

struct log_sink {
    struct log_options o; /* texts owned */
    bool use_syslog, daemon;
    int fd;                     /* of the file; -1 */
    int socket;                 /* connected to postlogd; -1 */
    int pid;                    /* of the process that opened it */
    const atomic_uint *watched; /* NULL: none; see log_watch() */
    unsigned verbose_bits;
    char host[64];                 /* short host name for lines in a file */
    pthread_mutex_t lock;          /* guards below */
    time_t second;                 /* that prefix shows, and when the file was last looked at */
    char prefix[PREFIX_MAX_BYTES]; /* of lines in a file: time, host, program */
    size_t prefix_n;
};

void log_watch(struct log *log, const atomic_uint *bits, unsigned verbose_bits)
{
    log->sink->watched = bits;
    log->sink->verbose_bits = verbose_bits;
}

bool log_traces(const struct log *log, unsigned bits)
{
    const struct log_sink *k = log->sink;

    return k && k->watched && atomic_load_explicit(k->watched, memory_order_relaxed) & bits;
}

struct timespec log_profile_begin(const struct log *log, unsigned bit)
{
    return log_traces(log, bit) ? clock_now() : (struct timespec){0};
}

void log_profile_end(const struct log *log, struct timespec began, const char *format, ...)
{
    char what[128];
    va_list args;

    if (began.tv_sec == 0)
        return;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    log_info(log, "%s %.6f", what, clock_diff(clock_now(), began));
}

static const char *const level_words[] = {"", "warning: ", "error: ", "fatal: ", "panic: "};
static const int level_priorities[] = {LOG_INFO, LOG_WARNING, LOG_ERR, LOG_CRIT, LOG_CRIT};

static int facility_number(const char *name)
{
    static const struct {
        const char *name;
        int number;
    } facilities[] = {
        {"auth", LOG_AUTH},     {"authpriv", LOG_AUTHPRIV}, {"cron", LOG_CRON},
        {"daemon", LOG_DAEMON}, {"ftp", LOG_FTP},           {"kern", LOG_KERN},
        {"lpr", LOG_LPR},       {"mail", LOG_MAIL},         {"news", LOG_NEWS},
        {"syslog", LOG_SYSLOG}, {"user", LOG_USER},         {"uucp", LOG_UUCP},
        {"local0", LOG_LOCAL0}, {"local1", LOG_LOCAL1},     {"local2", LOG_LOCAL2},
        {"local3", LOG_LOCAL3}, {"local4", LOG_LOCAL4},     {"local5", LOG_LOCAL5},
        {"local6", LOG_LOCAL6}, {"local7", LOG_LOCAL7},
    };

    for (size_t i = 0; name && i < sizeof facilities / sizeof *facilities; i++)
        if (strcmp(name, facilities[i].name) == 0)
            return facilities[i].number;
    return LOG_MAIL;
}

static char *text_or_null(const char *text)
{
    return text && *text ? memory_text(text) : NULL;
}

static void open_file(struct log_sink *k)
{
    mode_t mode = k->o.file_mode ? (mode_t)strtoul(k->o.file_mode, NULL, 8) : 0600;

    if (strncmp(k->o.file, "/dev/", 5) == 0 && !k->o.direct)
        return; /* standard output of this process is another one than master's */
    k->fd = open(k->o.file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, mode);
}

static void connect_postlogd(struct log_sink *k)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};

    if (k->o.postlog == NULL || strlen(k->o.postlog) >= sizeof to.sun_path)
        return;
    memcpy(to.sun_path, k->o.postlog, strlen(k->o.postlog));
    k->socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (k->socket >= 0 && connect(k->socket, (struct sockaddr *)&to, sizeof to) < 0) {
        close(k->socket);
        k->socket = -1;
    }
}

void log_open(struct log *log, const struct log_options *o)
{
    struct log_sink *k = NEW(struct log_sink);

    k->o = *o;
    k->o.tag = memory_text(o->tag ? o->tag : "postfix");
    k->o.progname = memory_text(o->progname ? o->progname : k->o.tag);
    k->o.file = text_or_null(o->file);
    k->o.file_mode = text_or_null(o->file_mode);
    k->o.postlog = text_or_null(o->postlog);
    k->fd = k->socket = -1;
    k->pid = (int)getpid();
    k->daemon = !o->to_stderr && !o->only_stderr;
    pthread_mutex_init(&k->lock, NULL);
    gethostname(k->host, sizeof k->host - 1);
    k->host[strcspn(k->host, ".")] = '\0';
    tzset(); /* before chroot */
    if (k->o.file)
        open_file(k);
    if (k->o.file && k->fd < 0)
        connect_postlogd(k);
    k->use_syslog = k->o.file == NULL && !o->only_stderr;
    if (k->use_syslog)
        openlog(k->o.tag, LOG_PID | LOG_NDELAY, facility_number(o->facility));
    log->sink = k;
}

void log_close(struct log *log)
{
    struct log_sink *k = log->sink;

    if (k == NULL)
        return;
    if (k->fd >= 0)
        close(k->fd);
    if (k->socket >= 0)
        close(k->socket);
    if (k->use_syslog)
        closelog();
    free((char *)k->o.tag);
    free((char *)k->o.progname);
    free((char *)k->o.file);
    free((char *)k->o.file_mode);
    free((char *)k->o.postlog);
    pthread_mutex_destroy(&k->lock);
    free(k);
    log->sink = NULL;
}

/* Once a second: format the time, and notice that the file was renamed or deleted. */
static void refresh(struct log_sink *k, time_t now)
{
    struct tm tm;
    struct stat ours, theirs;
    char stamp[32];
    int n;

    k->second = now;
    localtime_r(&now, &tm);
    strftime(stamp, sizeof stamp, "%b %d %H:%M:%S", &tm);
    n = snprintf(k->prefix, sizeof k->prefix, "%s %s %s[%d]: ", stamp, k->host, k->o.tag, k->pid);
    k->prefix_n = (size_t)n < sizeof k->prefix ? (size_t)n : sizeof k->prefix - 1;
    if (k->fd < 0 && k->socket < 0)
        connect_postlogd(k);
    if (k->fd < 0 || fstat(k->fd, &ours) < 0 || !S_ISREG(ours.st_mode))
        return;
    if (stat(k->o.file, &theirs) == 0 && theirs.st_ino == ours.st_ino &&
        theirs.st_dev == ours.st_dev)
        return;
    int old = k->fd;
    open_file(k);
    if (k->fd < 0 && k->socket < 0)
        connect_postlogd(k);
    if (k->fd < 0 && k->socket < 0)
        k->fd = old; /* better the old file than none */
    else
        close(old);
}

static void write_fully(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t done = write(fd, p, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return;
        p += done;
        n -= (size_t)done;
    }
}

void log_text(const struct log *log, enum log_level level, struct str text)
{
    struct log_sink *k = log->sink;
    char line[PREFIX_MAX_BYTES + LEVEL_MAX_BYTES + LINE_MAX_BYTES], body[LINE_MAX_BYTES];
    int saved = errno, n;
    size_t bytes = 0;
    bool utf8 = str_is_utf8(text);

    for (; bytes < text.n && bytes < sizeof body - 1; bytes++) {
        unsigned char c = (unsigned char)text.p[bytes];
        body[bytes] = (char)(c < ' ' || c == 0x7f || (c > 0x7f && !utf8) ? '?' : c);
    }
    body[bytes] = '\0';
    if (k == NULL || k->o.to_stderr || k->o.only_stderr) {
        n = snprintf(line, sizeof line, "%s: %s%s\n", k ? k->o.progname : "postfix",
                     level_words[level], body);
        write_fully(STDERR_FILENO, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
    }
    if (k && k->use_syslog) {
        syslog(level_priorities[level], "%s%s", level_words[level], body);
    } else if (k && k->o.file) {
        time_t now = clock_seconds();
        size_t word = strlen(level_words[level]), at;
        int fd, to;
        pthread_mutex_lock(&k->lock);
        if (now != k->second)
            refresh(k, now);
        fd = k->fd;
        to = k->socket;
        at = k->prefix_n;
        memcpy(line, k->prefix, at);
        pthread_mutex_unlock(&k->lock);
        memcpy(line + at, level_words[level], word);
        memcpy(line + at + word, body, bytes);
        at += word + bytes;
        line[at++] = '\n';
        if (fd >= 0)
            write_fully(fd, line, at);
        else if (to >= 0)
            (void)!send(to, line, at, MSG_NOSIGNAL);
    }
    errno = saved;
}

/* A session that shall not be heard of. */
static bool is_hushed(const struct log *log, enum log_level level)
{
    return log->hush == LOG_HUSH_ALL || (log->hush && level == LOG_LEVEL_WARNING) ||
           (log->hush == LOG_HUSH_INFO && level == LOG_LEVEL_INFO);
}

static void log_line(const struct log *log, enum log_level level, const char *format, va_list args)
    PRINTF_LIKE(3, 0);

static void log_line(const struct log *log, enum log_level level, const char *format, va_list args)
{
    char text[LINE_MAX_BYTES];
    int n = (int)strlen(log->queue_id), more;

    memcpy(text, log->queue_id, (size_t)n);
    if (n) {
        text[n++] = ':';
        text[n++] = ' ';
    }
    more = vsnprintf(text + n, sizeof text - (size_t)n, format, args);
    n += more > 0 ? more : 0;
    log_text(log, level, (struct str){text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1});
}

#define LOG_FUNCTION(name, level)                                                                  \
    void name(const struct log *log, const char *format, ...)                                      \
    {                                                                                              \
        va_list args;                                                                              \
        if (is_hushed(log, level))                                                                 \
            return;                                                                                \
        va_start(args, format);                                                                    \
        log_line(log, level, format, args);                                                        \
        va_end(args);                                                                              \
    }
LOG_FUNCTION(log_info, LOG_LEVEL_INFO)
LOG_FUNCTION(log_warning, LOG_LEVEL_WARNING)
LOG_FUNCTION(log_error, LOG_LEVEL_ERROR)

void log_debug(const struct log *log, const char *format, ...)
{
    va_list args;

    if (log->verbose == 0 && (log->sink == NULL || !log_traces(log, log->sink->verbose_bits)))
        return;
    va_start(args, format);
    log_line(log, LOG_LEVEL_INFO, format, args);
    va_end(args);
}

void log_trace(const struct log *log, unsigned bits, const char *format, ...)
{
    va_list args;

    if (log->verbose == 0 && !log_traces(log, bits | (log->sink ? log->sink->verbose_bits : 0)))
        return;
    va_start(args, format);
    log_line(log, LOG_LEVEL_INFO, format, args);
    va_end(args);
}

void log_fatal(const struct log *log, int status, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    log_line(log, LOG_LEVEL_FATAL, format, args);
    va_end(args);
    if (log->sink && log->sink->daemon)
        sleep(1);
    exit(status);
}

void log_set_queue_id(struct log *log, struct str queue_id)
{
    size_t n = queue_id.n < sizeof log->queue_id - 1 ? queue_id.n : sizeof log->queue_id - 1;

    if (n)
        memcpy(log->queue_id, queue_id.p, n);
    log->queue_id[n] = '\0';
}
