/* Private to smtpctl/. */
#pragma once

#include <stdio.h>

#include "queue/queue.h"
#include "service/board.h"
#include "service/command.h"
#include "util/map.h"

enum { STATUS_DONE = 0, STATUS_FAILED = 1, ASK_TIMEOUT_MS = 60 * 1000 };

enum word_set { SET_BOTH, SET_2011, SET_CURRENT };

struct smtpctl {
    struct command command;
    struct arena *arena;
    enum word_set set;  /* whose words and output shapes */
    bool is_front;      /* the system was started by opensmtpd(8) from smtpd.conf */
    bool running;       /* a master holds the lock */
    struct queue queue; /* after queue_begin() */
    const struct verb *verb;
    const char *words[8]; /* parameters of the command */
    struct ipc control;   /* fd -1: not connected */
};

struct verb {
    const char *pattern; /* "show queue [id]": words, <parameter>, [optional parameter] */
    enum word_set set;
    bool for_anyone;
    int (*run)(struct smtpctl *s);
    const char *word, *argument; /* of the request to control(8), when that is all */
};

/* words.c: which command? Ends the program when it is none. */
const struct verb *words_find(struct smtpctl *s, const struct verb *verbs, size_t n, int argc,
                              char **argv);

/* ask.c */
void ask_connect(struct smtpctl *s); /* ends the program when nobody is there */
/* True: done. *text: why not; in the arena. */
bool ask(struct smtpctl *s, const char *word, const char *argument, struct str *text);
struct str ask_stats(struct smtpctl *s); /* name=value lines */
long stat_of(struct str stats, const char *name);
enum rc ask_qmgr(struct smtpctl *s, const struct qmgr_control *word, long *status,
                 struct why *why) MUST_USE;
struct str ask_destinations(struct smtpctl *s); /* lines of qmgr's report */
long ask_envelopes(struct smtpctl *s);          /* how many are in the queue, showq says */
int say_result(bool ok, struct str reason);     /* "command succeeded"; exit status */
/* Run a command of command_directory; input: on its standard input. Its exit status. */
int run_command(struct smtpctl *s, const char *const argv[], struct str input, bool silent);
_Noreturn void become(struct smtpctl *s, const char *path, const char *const argv[]);

/* envelopes.c: what is in the queue, with OpenSMTPD's identifiers */
struct envelope {
    unsigned long id; /* upper half: of the message */
    const struct recipient *recipient;
    struct str reason; /* of the last attempt */
};
struct message {
    unsigned id;
    struct str queue_name, queue_id;
    const char *path;
    int fd;
    struct message_ready m;
    struct envelope *envelopes;
    size_t n;
    long next_attempt, last_attempt; /* 0: none yet */
    struct queue_notes notes;
    bool active; /* qmgr has it in memory */
    struct arena *arena;
};
void queue_begin(struct smtpctl *s);
unsigned message_number(struct str queue_id);
unsigned long envelope_number(unsigned message, const struct recipient *r);
/* Each message in incoming, active, deferred, hold; each returns false to stop. */
void queue_walk(struct smtpctl *s, bool (*each)(void *context, struct message *m), void *context);

/* What an identifier on the command line means. */
struct selection {
    bool all;
    struct str queue_id;    /* p == NULL: by number */
    unsigned message;       /* 0: any */
    unsigned long envelope; /* 0: all of the message */
};
/* Ends the program: "invalid msgid/evpid". */
struct selection selection_of(struct smtpctl *s, const char *text);
bool selection_has_message(const struct selection *x, const struct message *m);
bool selection_has(const struct selection *x, const struct envelope *e);

/* list.c */
int show_queue(struct smtpctl *s);
int show_runqueue(struct smtpctl *s);
int show_envelope(struct smtpctl *s);
int show_message(struct smtpctl *s);

/* split.c: a copy of the message in that queue with one recipient alone, who is done here then. */
enum rc split_off(struct smtpctl *s, struct message *m, const struct recipient *chosen,
                  struct str queue_name, struct arena *a, struct str *id, struct why *why) MUST_USE;

/* act.c */
int do_pause_envelope(struct smtpctl *s);
int do_resume_envelope(struct smtpctl *s);
int do_remove(struct smtpctl *s);
int do_schedule(struct smtpctl *s);
int do_schedule_all(struct smtpctl *s);
int do_discover(struct smtpctl *s);
int do_uncorrupt(struct smtpctl *s);

/* show.c */
int show_stats(struct smtpctl *s);
int show_sizes(struct smtpctl *s);
int show_status(struct smtpctl *s);
int do_monitor(struct smtpctl *s);
/* routes.c */
int show_routes(struct smtpctl *s);
int show_relays(struct smtpctl *s);
int show_hosts(struct smtpctl *s);
int show_hoststats(struct smtpctl *s);
int show_mta_paused(struct smtpctl *s);
void add_destination_counters(struct smtpctl *s, struct buf *out); /* name=value lines */
int do_resume_route(struct smtpctl *s);
int do_block(struct smtpctl *s);
int do_unblock(struct smtpctl *s);

/* encrypt.c, spf.c, makemap.c */
int do_encrypt(struct smtpctl *s);
int do_spf_walk(struct smtpctl *s);
int makemap(struct smtpctl *s, int argc, char **argv);
int make_aliases(struct smtpctl *s, const char *path);

/* tables.c */
int newaliases(struct smtpctl *s, int argc, char **argv);
int do_update_table(struct smtpctl *s);

/* smtpctl.c */
int do_reload(struct smtpctl *s);
