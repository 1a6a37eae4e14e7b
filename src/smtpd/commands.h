/* The commands of SMTP: which there are, what each needs, who answers. */
#pragma once

#include <stdbool.h>

#include "util/str.h"

struct session;

enum command_id { /* in the order of the disconnect line */
                  CMD_HELO,
                  CMD_EHLO,
                  CMD_XCLIENT,
                  CMD_XFORWARD,
                  CMD_STARTTLS,
                  CMD_AUTH,
                  CMD_MAIL,
                  CMD_RCPT,
                  CMD_DATA,
                  CMD_BDAT,
                  CMD_RSET,
                  CMD_NOOP,
                  CMD_VRFY,
                  CMD_ETRN,
                  CMD_QUIT,
                  CMD_HELP,
                  CMD_UNKNOWN,
                  COMMANDS
};

enum command_flags {
    ENDS_GROUP = 1 << 0, /* nothing may be pipelined behind it (RFC 2920 3.1) */
    IS_JUNK = 1 << 1,    /* too many of these are an error */
    BEFORE_TLS = 1 << 2, /* also while TLS is demanded but not active */
    NEEDS_HELO = 1 << 3, /* with smtpd_helo_required */
    NEEDS_MAIL = 1 << 4,
    NOT_IN_BDAT = 1 << 5, /* not between BDAT chunks */
};

struct command {
    const char *name;
    enum command_id id;
    unsigned flags;
    bool (*answer)(struct session *s, struct str arguments); /* false: the client made an error */
};

/* Read and answer one command. */
void command_next(struct session *s);

/* helo.c */
bool cmd_helo(struct session *s, struct str arguments);
bool cmd_ehlo(struct session *s, struct str arguments);
/* mail.c */
bool cmd_mail(struct session *s, struct str arguments);
/* rcpt.c */
bool cmd_rcpt(struct session *s, struct str arguments);
/* data.c */
bool cmd_data(struct session *s, struct str arguments);
bool cmd_bdat(struct session *s, struct str arguments);
/* small.c */
bool cmd_rset(struct session *s, struct str arguments);
bool cmd_noop(struct session *s, struct str arguments);
bool cmd_vrfy(struct session *s, struct str arguments);
bool cmd_etrn(struct session *s, struct str arguments);
bool cmd_quit(struct session *s, struct str arguments);
bool cmd_help(struct session *s, struct str arguments);
/* auth.c */
bool cmd_auth(struct session *s, struct str arguments);
/* starttls.c */
bool cmd_starttls(struct session *s, struct str arguments);
/* xclient.c, xforward.c */
bool cmd_xclient(struct session *s, struct str arguments);
bool cmd_xforward(struct session *s, struct str arguments);
