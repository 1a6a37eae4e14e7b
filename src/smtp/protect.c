#include "smtp/protect.h"

#include <sys/socket.h>

#include "global/dsn.h"
#include "global/text.h"
#include "smtp/auth.h"
#include "smtp/greet.h"
#include "tls/dane.h"
#include "tls/verify.h"

enum { OPT_TLS_NOT_REQUIRED = 16, OPT_REQUIRETLS = 32 }; /* bits of sendopts */

void protect_begin(struct attempt *at, const struct nexthop *hop)
{
    const struct config *c = at->smtp->config;
    long options = at->d->request.sendopts;

    at->tls = (struct attempt_tls){.hop_key = STR(""), .key = STR("")};
    at->tls.wrapped = at->smtp->set.tls_wrappermode || hop->tls == NEXTHOP_TLS_WRAPPED;
    if (options & OPT_REQUIRETLS && c->requiretls_enable && hop->path.n == 0) {
        at->tls.requiretls = requiretls_for(at->smtp, hop->host, at->arena);
        at->tls.asked = at->tls.requiretls != REQUIRETLS_IGNORE;
        at->tls.hop_key = arena_printf(at->arena, "requiretls %d", at->tls.requiretls);
    } else if (options & OPT_TLS_NOT_REQUIRED && c->tls_required_enable) {
        at->tls.not_required = true;
        at->tls.hop_key = STR("not required");
    }
}

/* ---- policy ---- */

/* The sender says: better in clear than not at all (RFC 8689 5). */
static void lower(struct attempt *at, struct tls_policy *p)
{
    enum tls_level level = at->tls.wrapped ? TLS_LEVEL_ENCRYPT : TLS_LEVEL_MAY;

    if (!at->tls.not_required || p->level <= level)
        return;
    p->wanted = p->level = level;
    p->match = p->trust_anchors = (struct str_list){0};
}

/* A host that is not authenticated: is its zone not signed, or does nobody validate? Asked once. */
static void probe_dnssec(struct attempt *at)
{
    struct smtp *s = at->smtp;
    struct str name = s->config->dnssec_probe, type = str_cut(&name, ':');
    struct dns_answer answer;
    struct why why = {0};
    enum dns_status status;

    if (name.n == 0 || atomic_exchange(&s->protection->probed, true))
        return;
    status = dns_lookup(s->resolver, name, dns_type_number(type), at->arena, &answer, &why);
    if (status == DNS_FOUND && answer.authenticated)
        return;
    log_warning(&s->log, "DNSSEC validation may be unavailable");
    log_warning(&s->log, "reason: dnssec_probe '" STR_FMT "' received %s%s%s",
                STR_ARG(s->config->dnssec_probe),
                status == DNS_FOUND ? "a response that is not DNSSEC validated" : "no response",
                status == DNS_FOUND ? "" : ": ", status == DNS_FOUND ? "" : why.text);
}

static enum rc settle_dane(struct attempt *at, const struct nexthop *hop, const struct host *host,
                           struct str domain, struct tls_policy *p, struct why *why)
{
    struct protection *shared = at->smtp->protection;
    struct dane_options options = *shared->dane;
    struct dane_host h = {.name = hop->host};

    if (p->level != TLS_LEVEL_DANE && p->level != TLS_LEVEL_DANE_ONLY)
        return RC_OK;
    if (host == NULL) {
        options.dnssec = false;
        options.why_not = "there is no DNS name for a UNIX-domain socket";
    } else {
        if (options.dnssec && !host->secure)
            probe_dnssec(at);
        h = (struct dane_host){
            .name = host->name,
            .address = host->final,
            .secure = host->secure,
            .by_mx = host->by_mx,
            .mx_secure = host->mx_secure,
            .mx_name = domain,
            .mx_final = host->mx_final,
            .port = addr_port(&host->address),
        };
    }
    return dane_settle(&options, &shared->policy, at->smtp->resolver, &h, at->arena, p, why);
}

static enum rc find(struct attempt *at, const struct nexthop *hop, const struct host *host,
                    struct tls_policy *p, struct why *why)
{
    struct protection *shared = at->smtp->protection;
    struct tls_policy_settings set = shared->policy;
    struct str domain = hop->path.n ? at->smtp->config->myhostname : hop->host;
    struct tls_peer peer = {.nexthop = hop->text, .host = host ? host->name : domain};

    if (!str_is_ascii(domain))
        domain = domain_to_ascii(at->arena, domain);
    peer.domain = domain;
    if (shared->context == NULL && hop->tls >= NEXTHOP_TLS_REQUIRED) {
        log_warning(&at->smtp->log,
                    "next hop " STR_FMT " needs TLS, but %s_tls_security_level is none",
                    STR_ARG(hop->text), shared->policy.prefix);
        return FAIL(why, RC_CONFIG, "client TLS configuration problem");
    }
    if (shared->context == NULL) {
        *p = (struct tls_policy){0};
        return RC_OK;
    }
    if (hop->tls == NEXTHOP_TLS_NONE)
        set.level = TLS_LEVEL_NONE;
    else if (hop->tls >= NEXTHOP_TLS_REQUIRED && set.level < TLS_LEVEL_ENCRYPT)
        set.level = TLS_LEVEL_VERIFY;
    TRY(tls_policy_find(&set, &peer, at->arena, p, why));
    lower(at, p);
    TRY(settle_dane(at, hop, host, domain, p, why));
    if (!at->tls.wrapped || p->level > TLS_LEVEL_MAY)
        return RC_OK;
    log_warning(&at->smtp->log,
                "%s_tls_wrappermode = yes needs level encrypt or stronger, but for " STR_FMT
                " it is \"%s\"",
                shared->policy.prefix, STR_ARG(hop->text), tls_level_name(p->level));
    return FAIL(why, RC_CONFIG, "client TLS configuration problem");
}

bool protect_choose(struct attempt *at, const struct nexthop *hop, const struct host *host)
{
    struct why why = {0};
    enum rc rc = find(at, hop, host, &at->tls.policy, &why);
    struct dsn dsn;

    at->tls.retry = false;
    at->tls.missing = NULL;
    if (rc == RC_OK) {
        at->tls.key = tls_policy_key(&at->tls.policy, at->arena);
        if (at->tls.asked)
            at->tls.key = arena_join(at->arena, at->tls.hop_key, at->tls.key);
        return true;
    }
    dsn = dsn_local(at, rc == RC_TEMP && strncmp(why.text, "TLSA", 4) != 0 ? "4.3.0" : "4.7.5",
                    "%s", why.text);
    at->d->relay = STR("none");
    protect_describe(at, NULL);
    attempt_site(at, &dsn);
    return false;
}

/* ---- tls= ---- */

static const char *requiretls_words(const struct attempt *at, const struct session *s)
{
    bool has = s && s->tls && s->features.bits & FEATURE_REQUIRETLS;

    if (!at->tls.asked || at->tls.requiretls == REQUIRETLS_IGNORE)
        return "";
    if (at->tls.missing && *at->tls.missing == '\0')
        return "/!requiretls";
    if (at->tls.missing)
        return arena_printf(at->arena, "/!requiretls:%s", at->tls.missing).p;
    if (s == NULL)
        return "/requiretls?";
    if (has && s->name_matched)
        return "/requiretls";
    return has ? "/requiretls:nomatch" : "/requiretls:none";
}

void protect_describe(struct attempt *at, const struct session *s)
{
    const struct tls_policy *p = &at->tls.policy;
    const char *actual = "", *mark = "";
    bool enough;

    at->d->tls = STR("");
    if (!at->smtp->set.log_tls_feature_status)
        return;
    if (s == NULL) {
        mark = p->wanted == TLS_LEVEL_NONE ? "" : "?";
        at->d->tls = arena_printf(at->arena, "%s%s%s", tls_level_name(p->wanted), mark,
                                  requiretls_words(at, NULL));
        return;
    }
    enough = s->tls || p->level <= TLS_LEVEL_MAY;
    if (p->wanted != TLS_LEVEL_NONE && s->tls == NULL)
        actual = ":none";
    else if (p->level != p->wanted)
        actual = arena_printf(at->arena, ":%s", tls_level_name(p->level)).p;
    at->d->tls = arena_printf(at->arena, "%s%s%s%s", enough ? "" : "!", tls_level_name(p->wanted),
                              actual, requiretls_words(at, s));
}

/* The server's certificate is not what the policy wants. */
static void describe_refused(struct attempt *at)
{
    if (at->smtp->set.log_tls_feature_status)
        at->d->tls = arena_printf(at->arena, "!%s:encrypt", tls_level_name(at->tls.policy.wanted));
}

/* ---- handshake ---- */

static unsigned loglevel_of(struct attempt *at, const struct session *s)
{
    struct protection *shared = at->smtp->protection;
    struct str keys[2] = {str_of(s->host)}, value;
    char address[ADDR_TEXT_SIZE];
    unsigned bits = shared->loglevel;
    struct why why = {0};

    addr_format(&s->address, address);
    keys[1] = str_of(address);
    for (int i = 0; !maps_empty(shared->loglevel_maps) && i < 2; i++) {
        enum rc rc = maps_get(shared->loglevel_maps, keys[i], at->arena, &value, &why);
        if (rc == RC_OK)
            rc = tls_loglevel_parse(value, &bits, &why);
        if (rc == RC_OK)
            break;
        if (rc != RC_NONE)
            log_warning(&at->smtp->log, "%s_tls_loglevel_maps: %s", shared->policy.prefix,
                        why.text);
    }
    return bits;
}

static enum rc shake(struct attempt *at, struct session *s, struct tls_check *check,
                     struct why *why)
{
    const struct tls_policy *p = check->policy;
    struct str exclude = p->exclude;
    struct tls_protocols protocols;
    struct tls_client_request request = {
        .label = s->relay,
        .timeout_ms = at->smtp->set.starttls_timeout * 1000,
        .loglevel = loglevel_of(at, s),
        .sni = arena_text(at->arena, p->servername),
        .protocols = &protocols,
        .enable_rpk = p->enable_rpk,
        .verifier = tls_check_verifier(check),
    };

    if (p->level > TLS_LEVEL_ENCRYPT || at->tls.asked) /* without certificate nothing can be seen */
        exclude = arena_join(at->arena, exclude, STR(" aNULL"));
    TRY(tls_protocols_parse(p->protocols, &protocols, why));
    TRY(tls_cipher_list(at->smtp->config, p->grade, exclude, at->arena, &request.ciphers, why));
    request.cache_id =
        arena_printf(at->arena, "%s&%s&" STR_FMT, s->relay, s->features.host, STR_ARG(at->tls.key));
    return tls_connect(at->smtp->protection->context, &s->wire.stream, &request, s->arena, &s->tls,
                       why);
}

/* REQUIRETLS looks at the name also where the level does not. */
static struct str_list own_names(struct attempt *at, const struct session *s)
{
    struct str_list names = {0};

    if (!at->tls.asked)
        return names;
    names.v = arena_array(at->arena, struct str, 1);
    names.v[names.n++] = arena_copy(at->arena, str_of(s->host));
    return names;
}

static bool refuse(struct attempt *at, struct session *s, const char *status, const char *words)
{
    struct dsn dsn = dsn_local(at, status, "%s", words);

    dsn.mta_type = STR("dns");
    dsn.mta_name = arena_copy(at->arena, str_of(s->host));
    attempt_site(at, &dsn);
    return false;
}

/*
 * What disturbs a handshake once may be gone soon, so mail waits for TLS through one retry first. A
 * password never travels in clear because somebody has disturbed a handshake.
 */
bool protect_may_go_in_clear(struct attempt *at, const struct session *s)
{
    const struct deliver_request *q = &at->d->request;
    bool probe = q->flags & (DELIVER_MTA_VERIFY | DELIVER_USER_VERIFY);
    struct account account;
    struct why why;

    if (at->tls.policy.level > TLS_LEVEL_MAY || at->tls.wrapped)
        return false;
    if (!probe && q->active_sec - q->arrival_sec < s->smtp->config->minimal_backoff_time)
        return false;
    return s->smtp->authentication == NULL ||
           account_find(at, str_of(s->host), s->key, &account, &why) == RC_NONE;
}

static bool handshake_failed(struct attempt *at, struct session *s, enum rc rc,
                             const struct why *why)
{
    s->tls = NULL;
    s->broken = true;
    if (rc == RC_CONFIG) {
        log_warning(&at->smtp->log, "TLS to %s: %s", s->relay, why->text);
        return refuse(at, s, "4.7.5", "client TLS configuration problem");
    }
    if (protect_may_go_in_clear(at, s)) {
        at->tls.retry = true;
        return false;
    }
    protect_describe(at, s);
    return refuse(at, s, "4.7.5", "Cannot start TLS: handshake failure");
}

static bool handshake(struct attempt *at, struct session *s)
{
    struct tls_check check = {
        .policy = &at->tls.policy,
        .log = &at->smtp->log,
        .digest = at->smtp->set.tls_fingerprint_digest.p,
        .multi_label = at->smtp->config->tls_wildcard_matches_multiple_labels,
        .names = own_names(at, s),
        .arena = s->arena,
    };
    struct why why = {0};
    enum rc rc;

    session_limit(s, at->smtp->set.starttls_timeout, 0);
    rc = shake(at, s, &check, &why);
    if (rc != RC_OK)
        return handshake_failed(at, s, rc, &why);
    s->name_matched = check.name_matched;
    if (check.accepted)
        return true;
    describe_refused(at);
    return refuse(at, s, "4.7.5", "Server certificate not verified");
}

/* Bytes that were not sent over TLS. A connection that was closed meanwhile is another matter. */
static bool has_plaintext(const struct session *s)
{
    char byte;

    return stream_peek(&s->wire.stream).n ||
           recv(s->wire.stream.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* RFC 3207 4.2: what the server has said in clear does not count any more. */
static bool starttls(struct attempt *at, struct session *s)
{
    bool must = at->tls.policy.level > TLS_LEVEL_MAY;
    struct wire_client_reply reply;
    enum rc rc;

    wire_client_say(&s->wire, STR("STARTTLS\r\n"));
    session_limit(s, at->smtp->set.starttls_timeout, 0);
    rc = session_read(s, &reply);
    if (rc != RC_OK) {
        if (rc != RC_TIMEOUT && protect_may_go_in_clear(at, s)) {
            s->broken = at->tls.retry = true;
            return false;
        }
        protect_describe(at, s);
        attempt_lost(at, s, rc, "performing the STARTTLS handshake");
        return false;
    }
    if (reply.code / 100 != 2) {
        struct dsn dsn;
        if (!must)
            return true;
        protect_describe(at, s);
        dsn = dsn_remote(at, s, &reply, "TLS is required, but host %s refused to start TLS: %s",
                         s->where, reply_words(at, &reply));
        if (dsn.status.p[0] == '5') /* another day, another certificate */
            dsn.status = STR("4.7.4");
        attempt_site(at, &dsn);
        return false;
    }
    if (has_plaintext(s)) {
        s->broken = true;
        log_warning(&at->smtp->log, "%s has sent something in clear behind its reply to STARTTLS",
                    s->relay);
        protect_describe(at, s);
        return refuse(at, s, "4.7.5", "Cannot start TLS: plaintext behind the reply to STARTTLS");
    }
    return handshake(at, s) && session_introduce(at, s);
}

bool protect_session(struct attempt *at, struct session *s)
{
    enum tls_level level = at->tls.policy.level;

    if (at->tls.wrapped)
        return s->tls ? true : handshake(at, s);
    if (s->features.bits & FEATURE_STARTTLS && level == TLS_LEVEL_NONE &&
        s->smtp->set.tls_note_starttls_offer)
        log_info(&s->smtp->log, "Host offered STARTTLS: [%s]", s->host);
    if (level == TLS_LEVEL_NONE)
        return true;
    if (s->features.bits & FEATURE_STARTTLS)
        return starttls(at, s);
    if (level == TLS_LEVEL_MAY)
        return true;
    protect_describe(at, s);
    return refuse(
        at, s, "4.7.4",
        arena_printf(at->arena, "TLS is required, but was not offered by host %s", s->where).p);
}

void protect_without(struct attempt *at)
{
    at->tls.policy.level = TLS_LEVEL_NONE;
    at->tls.key = tls_policy_key(&at->tls.policy, at->arena);
    at->tls.retry = false;
}

void protect_reused(struct attempt *at, struct session *s)
{
    if (s->tls && loglevel_of(at, s) & TLS_LOG_SUMMARY)
        tls_log_summary(s->tls, true);
}

/* ---- REQUIRETLS ---- */

/* Another server may do better, so this is not the last word; then the message goes back. */
static bool lacks(struct attempt *at, const struct session *s, const char *missing,
                  const char *status, const char *words)
{
    struct dsn dsn = dsn_local(at, status,
                               "Sender requested REQUIRETLS, but %s. The last attempted server was "
                               "%s",
                               words, s->where);

    at->tls.missing = missing;
    protect_describe(at, s);
    log_info(&at->d->log, "Sender requested REQUIRETLS, but %s", words);
    attempt_postpone(at, &dsn);
    return false;
}

bool protect_allows(struct attempt *at, const struct session *s)
{
    const char *host = s->where;

    if (!at->tls.asked || at->tls.requiretls > REQUIRETLS_STARTTLS)
        return true;
    if (s->tls == NULL && !(s->features.bits & FEATURE_STARTTLS))
        return lacks(at, s, "nostarttls", "5.7.10",
                     arena_printf(at->arena, "STARTTLS was not offered by host %s", host).p);
    if (s->tls == NULL)
        return lacks(at, s, "noencryption", "5.7.10",
                     arena_printf(at->arena, "there is no encryption with host %s", host).p);
    if (at->tls.requiretls == REQUIRETLS_STARTTLS)
        return true;
    if (!s->name_matched)
        return lacks(at, s, "nocertmatch", "5.7.10",
                     arena_printf(at->arena, "the certificate of host %s is not verified", host).p);
    if (!(s->features.bits & FEATURE_REQUIRETLS))
        return lacks(
            at, s, "", "5.7.30",
            arena_printf(at->arena, "REQUIRETLS support was not offered by host %s", host).p);
    return true;
}
