/*
 * Name servers: which there are (resolv.conf(5)), and one exchange with them, by UDP and, when the
 * answer was cut, by TCP (RFC 7766).
 */
#pragma once

#include <pthread.h>

#include "dns/message.h"

enum { NAME_SERVERS_MAX = 3, SEARCH_MAX = 6 };

struct name_servers {
    struct addr at[NAME_SERVERS_MAX];
    size_t n;
    long timeout_ms; /* of one try */
    int attempts;
    struct str search[SEARCH_MAX]; /* the first is the local domain */
    size_t n_search;
    char text[512]; /* what search points into */
};

/* Read the text of a resolv.conf. Unknown lines are ignored, as the C library does. */
void name_servers_parse(struct str text, struct name_servers *out);

/*
 * Ask until a name server gives a usable answer. reply: in the arena. RC_TEMP: none did; words
 * say what happened.
 */
enum rc name_servers_ask(const struct name_servers *servers, struct str name, int type, bool dnssec,
                         struct arena *a, struct dns_message *reply, struct str *bytes,
                         struct why *why) MUST_USE;
