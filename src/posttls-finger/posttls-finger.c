/*
 * posttls-finger - ask an SMTP or LMTP server what its TLS is like.
 *
 * Goes the way of the SMTP client: policy, DANE, handshake, verdict; sends no mail.
 */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "posttls-finger/finger.h"

/* -r: does the server know its session again? A farm of servers may need several tries. */
static void reconnect(struct finger *f, const struct finger_host *host, struct str first)
{
    struct why why = {0};

    f->o.peercert = f->o.certmatch = f->o.show_chain = false;
    f->o.loglevel |= TLS_LOG_SUMMARY;
    for (long i = 0; i < f->o.reconnects; i++) {
        struct str server = STR_NONE;
        bool resumed = false;
        log_info(&f->log, "Reconnecting after %ld seconds", f->o.delay_seconds);
        sleep((unsigned)f->o.delay_seconds);
        if (probe_run(f, host, &server, &resumed, &why) != RC_OK) {
            log_info(&f->log, "%s", why.text);
            return;
        }
        if (resumed) {
            log_info(&f->log, "Found a previously used server.  Done reconnecting.");
            return;
        }
        if (str_eq(server, first)) {
            log_info(&f->log, "Server did not resume the session.  Done reconnecting.");
            return;
        }
    }
    log_info(&f->log, "Maximum reconnect count reached.");
}

static bool run(struct finger *f)
{
    struct why why = {0};

    for (size_t i = 0; i < f->n_hosts; i++) {
        struct str server = STR_NONE;
        bool resumed = false;
        if (probe_run(f, &f->hosts[i], &server, &resumed, &why) == RC_OK) {
            if (f->o.delay_seconds > 0)
                reconnect(f, &f->hosts[i], server);
            return true;
        }
        log_info(&f->log, "Failed to establish session to " STR_FMT " via " STR_FMT ": %s",
                 STR_ARG(f->o.destination), STR_ARG(f->hosts[i].dane.name), why.text);
    }
    return false;
}

int main(int argc, char **argv)
{
    struct finger f = {.arena = arena_new(16 * 1024)};
    struct why why = {0};
    bool good;

    signal(SIGPIPE, SIG_IGN);
    log_open(&f.log, &(struct log_options){.only_stderr = true, .progname = "posttls-finger"});
    finger_options_read(&f, argc, argv);
    if (finger_open(&f, &why) != RC_OK)
        log_fatal(&f.log, 1, "%s", why.text);
    if (finger_find_hosts(&f, &why) != RC_OK) {
        log_info(&f.log, "Failed to establish session to " STR_FMT ": %s", STR_ARG(f.o.destination),
                 why.text);
        return 1;
    }
    good = run(&f);
    tls_context_free(f.tls);
    resolver_free(f.resolver);
    config_free(f.config);
    log_close(&f.log);
    arena_free(f.arena);
    return good && fflush(stdout) == 0 ? 0 : 1;
}
