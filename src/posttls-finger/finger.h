/*
 * What the parts of posttls-finger share: options (options.c), the hosts of a destination
 * (hosts.c), a conversation with one of them (probe.c), certificates on paper (chain.c).
 */
#pragma once

#include "config/config.h"
#include "dns/dns.h"
#include "tls/dane.h"
#include "tls/tls.h"
#include "util/log.h"
#include "wire/client.h"

enum { FINGER_OVERRIDES_MAX = 100 };

struct finger_options {
    struct config_setting overrides[FINGER_OVERRIDES_MAX]; /* of -o, and what other options mean */
    size_t n_overrides;
    struct str family;                     /* -a: "ipv4", "ipv6", "any" */
    bool no_chat, show_chain;              /* -c -C */
    enum tls_level level;                  /* -l */
    unsigned loglevel;                     /* -L */
    bool peercert, certmatch, cache;       /* -L */
    long reconnects, delay_seconds;        /* -m -r */
    bool lmtp, srv, wrapper;               /* -S -R -w */
    long connect_seconds, command_seconds; /* -t -T */
    struct str match;                      /* arguments behind the destination */
    struct str destination;
};

struct finger_host {
    struct dane_host dane;
    struct addr address;
    int preference;
};

struct finger {
    struct log log;
    struct arena *arena;
    struct finger_options o;
    struct config *config;
    struct resolver *resolver;
    struct tls_context *tls;
    struct tls_policy_settings settings;
    struct dane_options dane;
    struct str host, path; /* of the destination, without brackets; of a UNIX-domain socket */
    unsigned port;
    bool bracketed;
    struct finger_host *hosts;
    size_t n_hosts;
};

/* What it is about now. */
struct probe {
    struct finger *f;
    const struct finger_host *host;
    struct wire_client wire;
    struct wire_features features;
    struct tls_session *tls;
    struct tls_policy policy;
    char label[350];
};

void finger_options_read(struct finger *f, int argc, char **argv);

/* Configuration and TLS as the options say. */
enum rc finger_open(struct finger *f, struct why *why) MUST_USE;
enum rc finger_find_hosts(struct finger *f, struct why *why) MUST_USE;

/* The host's policy, a connection, a conversation. RC_OK: it went well, whatever the certificate is
 * worth. *server: what it calls itself; *resumed: by the session of an earlier call. */
enum rc probe_run(struct finger *f, const struct finger_host *host, struct str *server,
                  bool *resumed, struct why *why) MUST_USE;

/* -C */
void chain_print(struct finger *f, const struct tls_session *t);
