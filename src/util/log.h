/*
 * Log lines, in Postfix's frame: "SYSLOGNAME/PROGRAM[PID]: [severity: ]text".
 *
 * A struct log is small, passed by pointer and copied freely: a session makes its own with a queue
 * id in front. Where lines go (syslog, file, postlogd, standard error) is the sink's business; one
 * sink per process, made at start. Control bytes in the text become '?' at the output, once, and so
 * do bytes that are not ASCII when the text is not UTF-8.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

#include "util/str.h"
#include "util/why.h"

enum log_level {
    LOG_LEVEL_INFO,
    LOG_LEVEL_WARNING,
    LOG_LEVEL_ERROR,
    LOG_LEVEL_FATAL,
    LOG_LEVEL_PANIC
};

enum log_hush { /* what is left out of a session's lines; fatal errors never are */
                LOG_HUSH_NOTHING,
                LOG_HUSH_WARNINGS,
                LOG_HUSH_INFO, /* and warnings */
                LOG_HUSH_ALL
};

enum log_trace {                          /* of the bits of log_watch() */
                 LOG_TRACE_IMSG = 1 << 1, /* messages between services */
                 LOG_TRACE_IO = 1 << 2,   /* lines of SMTP */
                 LOG_TRACE_FILTERS = 1 << 4,
                 LOG_TRACE_BOUNCE = 1 << 6,
                 LOG_TRACE_SCHEDULER = 1 << 7,
                 LOG_TRACE_EXPAND = 1 << 8,
                 LOG_TRACE_LOOKUP = 1 << 9,
                 LOG_TRACE_STAT = 1 << 10,
                 LOG_TRACE_RULES = 1 << 11,
                 LOG_TRACE_MPROC = 1 << 12,  /* processes that start and end */
                 LOG_PROFILE_IMSG = 1 << 16, /* how long the answer to one takes */
                 LOG_PROFILE_QUEUE = 1 << 17,
};

struct log_sink;

struct log {
    struct log_sink *sink;
    char queue_id[32]; /* "" or the id that stands before each text */
    enum log_hush hush;
    int verbose; /* -v count; > 0 shows log_debug() */
};

struct log_options {
    const char *tag;       /* "postfix/smtpd" */
    const char *facility;  /* syslog_facility, e.g. "mail" */
    const char *file;      /* maillog_file; NULL or "" for syslog */
    const char *file_mode; /* maillog_file_permissions, octal text; NULL for 0600 */
    const char *postlog;   /* path of postlogd's socket, used when the file cannot be opened or was
                              rotated away; NULL for none */
    bool to_stderr;        /* commands: "progname: warning: text" on standard error as well */
    bool only_stderr;      /* commands that do not log */
    bool direct;           /* master: open the file also when it is /dev/stdout; for others its
                              lines go through postlogd */
    const char *progname;  /* for standard error */
};

/* Open the sink. Texts in options are copied. Never fails: falls back to standard error. */
void log_open(struct log *log, const struct log_options *options);
void log_close(struct log *log);

/*
 * From now on log_debug() also shows its lines while *bits has one of verbose_bits; somebody else
 * changes them while the process runs. For all copies of log. *bits must stay.
 */
void log_watch(struct log *log, const atomic_uint *bits, unsigned verbose_bits);
/* Is one of these bits set there? */
bool log_traces(const struct log *log, unsigned bits);
/*
 * How long something takes, while this bit is set: begin gives the time, or zero; end logs the text
 * and the seconds since, unless it was zero.
 */
struct timespec log_profile_begin(const struct log *log, unsigned bit);
void log_profile_end(const struct log *log, struct timespec began, const char *format, ...)
    PRINTF_LIKE(3, 4);

void log_info(const struct log *log, const char *format, ...) PRINTF_LIKE(2, 3);
void log_warning(const struct log *log, const char *format, ...) PRINTF_LIKE(2, 3);
void log_error(const struct log *log, const char *format, ...) PRINTF_LIKE(2, 3);
void log_debug(const struct log *log, const char *format, ...) PRINTF_LIKE(2, 3);
/* While one of these bits (enum log_trace) is set, or with -v. */
void log_trace(const struct log *log, unsigned bits, const char *format, ...) PRINTF_LIKE(3, 4);

/* Log "fatal: text", pause a second in daemons (commands do not), exit with that status. Start-up
 * only. */
__attribute__((noreturn)) void log_fatal(const struct log *log, int status, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* One finished text of any level; for postlog and postlogd. */
void log_text(const struct log *log, enum log_level level, struct str text);

/* Put "ID: " before each text; STR_NONE takes it away. */
void log_set_queue_id(struct log *log, struct str queue_id);
