/* Private to sendmail(1). */
#pragma once

#include "config/config.h"
#include "service/command.h"
#include "util/buf.h"

enum { EX_TEMPORARY = 75 }; /* every failure: callers try again or tell their user */

enum sendmail_mode {
    MODE_ENQUEUE,
    MODE_DAEMON,
    MODE_SMTP,
    MODE_LIST,
    MODE_NEWALIASES,
    MODE_VERIFY,
    MODE_FLUSH,
    MODE_FLUSH_SITE,
    MODE_FLUSH_ID,
    MODE_IGNORE
};

struct options {
    struct command command;
    enum sendmail_mode mode;
    const char *config_dir, *alias_file;
    const char *sender;    /* -f, -r; NULL: the user */
    const char *full_name; /* -F */
    const char *envid, *encoding, *verp;
    const char *site; /* of MODE_FLUSH_SITE, MODE_FLUSH_ID */
    long notify, ret, sendopts;
    int verbose;
    bool from_headers; /* -t */
    bool dot_is_text;  /* -i */
    bool gateway;      /* -G */
    char **recipients; /* NULL-terminated */
};

/* Option letters and their meaning; a bad one ends the program. */
void options_read(struct options *o, int argc, char **argv);

/* Read the message and write it as local records (submit/local.h) into b. */
void message_records(struct options *o, struct arena *a, struct buf *b);

/* Hand the records over: to pickup, or through postdrop. Returns the exit status. */
int hand_over(struct options *o, struct str records);
