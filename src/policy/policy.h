/*
 * Client side of the policy delegation protocol: "name=value" lines ended by an empty line, and an
 * answer "action=RESULT". Connections are kept and shared by the threads of a process.
 */
#pragma once

#include "util/arena.h"
#include "util/buf.h"

struct policy_server;

struct policy_options {
    struct str endpoint; /* inet:host:port, unix:path, or host:port; paths are below directory */
    struct str directory;
    long timeout_s;
    long max_idle_s, max_ttl_s;
    long request_limit; /* for each connection; 0: none */
    long try_limit;
    long retry_delay_s;
};

/* Texts are copied. RC_CONFIG: the endpoint is malformed. Does not connect. */
enum rc policy_server_new(const struct policy_options *o, struct policy_server **out,
                          struct why *why) MUST_USE;
void policy_server_free(struct policy_server *s);

/* One attribute of a request; line ends in the value become blanks. */
void policy_attribute(struct buf *request, const char *name, struct str value);
void policy_attribute_number(struct buf *request, const char *name, long value);

/*
 * Send the attributes and read the answer: *action in the arena. A connection that was kept and
 * turns out to be closed is replaced at once; after other trouble it is tried again after
 * retry_delay_s, try_limit times in all. RC_TEMP: no answer.
 */
enum rc policy_ask(struct policy_server *s, struct str request, struct arena *a, struct str *action,
                   struct why *why) MUST_USE;
