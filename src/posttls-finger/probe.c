#include <stdio.h>

#include "posttls-finger/finger.h"
#include "tls/verify.h"

/* ---- conversation ---- */

static void say(struct probe *p, const char *line)
{
    if (!p->f->o.no_chat)
        log_info(&p->f->log, "> %s", line);
    stream_putf(&p->wire.stream, "%s\r\n", line);
}

static enum rc hear(struct probe *p, struct wire_client_reply *reply, struct why *why)
{
    struct str rest, line;

    TRY(wire_client_read(&p->wire, reply, why));
    rest = reply->text;
    while (!p->f->o.no_chat && rest.p) {
        line = str_cut(&rest, '\n');
        log_info(&p->f->log, "< " STR_FMT, STR_ARG(line));
    }
    return RC_OK;
}

static enum rc greet(struct probe *p, struct why *why)
{
    struct wire_client_reply reply;

    TRY(hear(p, &reply, why));
    p->wire.stream.timeout_ms = p->f->o.command_seconds * 1000;
    return reply.code / 100 == 2
               ? RC_OK
               : FAIL(why, RC_TEMP, "SMTP service not available: " STR_FMT, STR_ARG(reply.text));
}

static enum rc introduce(struct probe *p, struct why *why)
{
    const struct finger *f = p->f;
    struct wire_client_reply reply;
    char line[600];

    snprintf(line, sizeof line, "%s %.500s", f->o.lmtp ? "LHLO" : "EHLO",
             f->o.lmtp ? f->config->lmtp_lhlo_name.p : f->config->smtp_helo_name.p);
    say(p, line);
    TRY(hear(p, &reply, why));
    if (reply.code / 100 != 2)
        return FAIL(why, RC_TEMP, "%.4s rejected: " STR_FMT, line, STR_ARG(reply.text));
    wire_features_parse(reply.text, 0, &p->features);
    return RC_OK;
}

/* ---- TLS ---- */

/* The policy for this host. Without usable TLSA records the level is secure. */
static enum rc find_policy(struct probe *p, struct why *why)
{
    struct finger *f = p->f;
    struct tls_peer peer = {.nexthop = f->o.destination,
                            .domain = f->path.n ? f->config->myhostname : f->host,
                            .host = p->host->dane.name};
    struct tls_policy_settings settings = f->settings;
    bool dane = settings.level == TLS_LEVEL_DANE || settings.level == TLS_LEVEL_DANE_ONLY;

    TRY(tls_policy_find(&settings, &peer, f->arena, &p->policy, why));
    if (!dane)
        return RC_OK;
    p->policy.level = TLS_LEVEL_DANE;
    if (f->dane.dnssec && f->path.n == 0)
        TRY(dane_settle(&f->dane, &settings, f->resolver, &p->host->dane, f->arena, &p->policy,
                        why));
    if (p->policy.tlsa) {
        for (size_t i = 0; i < p->policy.tlsa->n; i++) {
            const struct tlsa *r = &p->policy.tlsa->v[i];
            if (f->o.certmatch)
                log_info(&f->log, "using DANE RR: _%u._tcp." STR_FMT " IN TLSA %d %d %d %zu bytes",
                         p->host->dane.port, STR_ARG(p->policy.tlsa->base), r->usage, r->selector,
                         r->matching, r->data.n);
        }
        return RC_OK;
    }
    settings.level = TLS_LEVEL_SECURE;
    return tls_policy_find(&settings, &peer, f->arena, &p->policy, why);
}

static void say_certificate(const struct probe *p)
{
    const struct tls_session *t = p->tls;

    log_info(&p->f->log,
             "%s: subject_CN=" STR_FMT ", issuer_CN=" STR_FMT ", fingerprint=" STR_FMT
             ", pkey_fingerprint=" STR_FMT,
             p->label, STR_ARG(t->subject), STR_ARG(t->issuer), STR_ARG(t->fingerprint),
             STR_ARG(t->key_fingerprint));
}

static enum rc shake(struct probe *p, struct why *why)
{
    struct finger *f = p->f;
    struct tls_check check = {
        .policy = &p->policy,
        .log = &f->log,
        .digest = f->config->smtp_tls_fingerprint_digest.p,
        .multi_label = f->config->tls_wildcard_matches_multiple_labels,
        .say_match = f->o.certmatch,
        .arena = f->arena,
    };
    struct tls_protocols protocols;
    struct tls_client_request request = {
        .label = p->label,
        .timeout_ms = f->o.command_seconds * 1000,
        .loglevel = f->o.loglevel & ~(unsigned)TLS_LOG_SUMMARY,
        .sni = arena_text(f->arena, p->policy.servername),
        .protocols = &protocols,
        .enable_rpk = p->policy.enable_rpk,
        .verifier = tls_check_verifier(&check),
        .cache_id = STR_NONE,
    };
    struct str exclude = p->policy.level > TLS_LEVEL_ENCRYPT ? STR("aNULL") : STR("");
    bool loud = f->o.loglevel & TLS_LOG_HANDSHAKE;

    TRY(tls_protocols_parse(p->policy.protocols, &protocols, why));
    TRY(tls_cipher_list(f->config, p->policy.grade, exclude, f->arena, &request.ciphers, why));
    if (f->o.delay_seconds > 0)
        request.cache_id = arena_printf(f->arena, "%s&%s", p->label, p->features.host);
    TRY(tls_connect(f->tls, &p->wire.stream, &request, f->arena, &p->tls, why));
    if ((f->o.peercert || f->o.certmatch) && !loud && p->tls->has_certificate)
        say_certificate(p);
    if (f->o.cache || f->o.delay_seconds > 0)
        log_info(&f->log, "%s: %s session", p->label, p->tls->resumed ? "Reusing old" : "New");
    if (f->o.loglevel & TLS_LOG_SUMMARY)
        tls_log_summary(p->tls, false);
    return RC_OK;
}

static enum rc starttls(struct probe *p, struct why *why)
{
    struct wire_client_reply reply;

    if (!(p->features.bits & FEATURE_STARTTLS)) {
        log_info(&p->f->log, "%s: server does not offer STARTTLS", p->label);
        return RC_OK;
    }
    say(p, "STARTTLS");
    TRY(hear(p, &reply, why));
    if (reply.code / 100 != 2)
        return FAIL(why, RC_TEMP, "STARTTLS rejected: " STR_FMT, STR_ARG(reply.text));
    if (stream_peek(&p->wire.stream).n)
        return FAIL(why, RC_TEMP, "plaintext behind the reply to STARTTLS");
    TRY(shake(p, why));
    return introduce(p, why);
}

static enum rc talk(struct probe *p, struct why *why)
{
    bool tls = p->f->tls != NULL;

    if (tls && p->f->o.wrapper)
        TRY(shake(p, why));
    TRY(greet(p, why));
    TRY(introduce(p, why));
    return tls && !p->f->o.wrapper ? starttls(p, why) : RC_OK;
}

/* ---- connection ---- */

static enum rc connect_to(struct probe *p, int *fd, struct why *why)
{
    struct finger *f = p->f;
    long timeout_ms = f->o.connect_seconds * 1000;
    char address[ADDR_TEXT_SIZE];

    if (f->path.n) {
        snprintf(p->label, sizeof p->label, STR_FMT "[" STR_FMT "]", STR_ARG(p->host->dane.name),
                 STR_ARG(f->path));
        return net_connect_unix(arena_text(f->arena, f->path), SOCK_STREAM, timeout_ms, fd, why);
    }
    addr_format(&p->host->address, address);
    snprintf(p->label, sizeof p->label, STR_FMT "[%s]:%u", STR_ARG(p->host->dane.name), address,
             addr_port(&p->host->address));
    if (net_connect(&p->host->address, NULL, timeout_ms, fd, why) == RC_OK)
        return RC_OK;
    why_prefix(why, "connect to %s", p->label);
    return RC_TEMP;
}

enum rc probe_run(struct finger *f, const struct finger_host *host, struct str *server,
                  bool *resumed, struct why *why)
{
    struct probe p = {.f = f, .host = host};
    struct wire_client_reply reply;
    enum rc rc;
    int fd;

    if (f->tls)
        TRY(find_policy(&p, why));
    TRY(connect_to(&p, &fd, why));
    if (!f->o.no_chat)
        log_info(&f->log, "Connected to %s", p.label);
    wire_client_init(&p.wire, fd, f->o.connect_seconds * 1000);
    rc = talk(&p, why);
    if (rc == RC_OK) {
        *server = arena_copy(f->arena, str_of(p.features.host));
        *resumed = p.tls && p.tls->resumed;
        say(&p, "QUIT");
        (void)!hear(&p, &reply, NULL);
        if (p.tls && f->o.show_chain)
            chain_print(f, p.tls);
    }
    wire_client_done(&p.wire);
    return rc;
}
