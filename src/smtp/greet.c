#include "smtp/greet.h"

#include <stdio.h>

#include "smtp/reports.h"
#include "util/clock.h"

static struct str own_name(const struct session *s)
{
    return s->smtp->config->myhostname;
}

static bool refused(struct attempt *at, struct session *s, const struct wire_client_reply *reply)
{
    struct dsn dsn = dsn_remote(at, s, reply, "host %s refused to talk to me: %s", s->where,
                                reply_words(at, reply));

    attempt_site(at, &dsn);
    return false;
}

static bool lost(struct attempt *at, struct session *s, enum rc rc, const char *doing)
{
    attempt_lost(at, s, rc, doing);
    return false;
}

/* "220 *****" and the like: what a PIX firewall leaves of a greeting. */
static bool is_masked(struct str text)
{
    bool star = false;

    for (size_t i = 0; i < text.n; i++) {
        if (strchr("20 *\t\n", text.p[i]) == NULL)
            return false;
        star = star || text.p[i] == '*';
    }
    return star;
}

static void use_pix_workarounds(struct attempt *at, struct session *s)
{
    const struct deliver_request *q = &at->d->request;
    struct str words;
    char address[ADDR_TEXT_SIZE];
    unsigned bits = s->smtp->pix;
    struct why why = {0};

    if (clock_seconds() - q->arrival_sec < s->smtp->set.pix_workaround_threshold_time)
        bits &= ~(unsigned)PIX_DELAY_DOTCRLF;
    addr_format(&s->address, address);
    if (!maps_empty(s->smtp->pix_maps) &&
        maps_get(s->smtp->pix_maps, str_of(address), at->arena, &words, &why) == RC_OK &&
        pix_mask(words, &bits, &why) != RC_OK)
        log_warning(&at->d->log, "%s: %s", s->where, why.text);
    s->pix = bits;
    if (bits)
        log_info(&at->d->log, "enabling PIX workarounds: %s%s%s for %s",
                 bits & PIX_DISABLE_ESMTP ? "disable_esmtp" : "",
                 bits == (PIX_DISABLE_ESMTP | PIX_DELAY_DOTCRLF) ? " " : "",
                 bits & PIX_DELAY_DOTCRLF ? "delay_dotcrlf" : "", s->relay);
}

/* Does a word of the greeting say that EHLO is welcome? */
static bool says_esmtp(struct session *s, struct str text, bool best)
{
    bool esmtp = false;
    struct str word;

    text = str_from(text, 4);
    while (str_token(&text, " \t\n", &word)) {
        if (str_eq_nocase(word, own_name(s)) && best)
            log_warning(&s->smtp->log, "host %s greeted me with my own hostname " STR_FMT, s->where,
                        STR_ARG(word));
        else if (str_eq_nocase(word, STR("ESMTP")))
            esmtp = true;
    }
    return esmtp;
}

static unsigned discarded_keywords(struct attempt *at, struct session *s)
{
    struct str words = s->smtp->set.discard_keywords, value;
    unsigned bits = s->smtp->discard;
    char address[ADDR_TEXT_SIZE];
    struct why why = {0};

    if (!s->esmtp)
        return 0;
    addr_format(&s->address, address);
    if (!maps_empty(s->smtp->discard_maps) &&
        maps_get(s->smtp->discard_maps, str_of(address), at->arena, &value, &why) == RC_OK) {
        words = value;
        if (wire_features_mask(words, &bits, &why) != RC_OK)
            log_warning(&s->smtp->log, "%s: %s", s->where, why.text);
    }
    if (bits && !(bits & FEATURE_SILENT_DISCARD))
        log_info(&at->d->log, "discarding EHLO keywords: " STR_FMT, STR_ARG(words));
    return bits;
}

/* The first word of the reply to HELO or EHLO is the server's name; ours means a loop. */
static bool is_somebody_else(struct attempt *at, struct session *s, bool best)
{
    struct dsn dsn;

    if (!str_eq_nocase(str_of(s->features.host), own_name(s)) ||
        addr_family(&s->address) == AF_UNIX)
        return true;
    if (addr_port(&s->address) != 25)
        return true;
    log_warning(&s->smtp->log, "host %s replied to HELO/EHLO with my own hostname " STR_FMT,
                s->where, STR_ARG(own_name(s)));
    if (!best)
        return true;
    dsn = dsn_local(at, "5.4.6", "mail for " STR_FMT " loops back to myself", STR_ARG(s->key));
    attempt_site(at, &dsn);
    return false;
}

/* By the address that the connection leaves from. */
static struct str helo_name(const struct session *s, struct arena *a)
{
    struct str value = s->smtp->set.helo_name;
    char text[ADDR_TEXT_SIZE];
    struct why why = {0};
    struct addr own;

    if (maps_empty(s->smtp->helo_name_maps) ||
        addr_of_socket(s->wire.stream.fd, false, &own, &why) != RC_OK)
        return value;
    addr_format(&own, text);
    if (maps_get(s->smtp->helo_name_maps, str_of(text), a, &value, &why) == RC_TEMP)
        log_warning(&s->smtp->log, "smtp_helo_name_maps: %s", why.text);
    return value;
}

static enum rc say(struct session *s, const char *verb, struct wire_client_reply *reply)
{
    AUTO_ARENA a = arena_new(512);
    char command[512];

    snprintf(command, sizeof command, "%s " STR_FMT "\r\n", verb,
             STR_ARG(str_head(helo_name(s, a), 255)));
    wire_client_say(&s->wire, str_of(command));
    session_limit(s, s->smtp->set.helo_timeout, 0);
    return session_read(s, reply);
}

/* LHLO; or EHLO, and HELO where EHLO is not understood. */
static bool introduce(struct attempt *at, struct session *s, bool try_ehlo,
                      struct wire_client_reply *reply)
{
    const char *verb = s->smtp->lmtp ? "LHLO" : try_ehlo ? "EHLO" : "HELO";
    enum rc rc = say(s, verb, reply);

    s->esmtp = rc == RC_OK && reply->code / 100 == 2 && verb[0] != 'H';
    if (rc == RC_OK && reply->code / 100 != 2 && reply->code != 421 && verb[0] == 'E') {
        verb = "HELO";
        rc = say(s, verb, reply);
    }
    if (rc != RC_OK) {
        char doing[40];
        snprintf(doing, sizeof doing, "performing the %s handshake", verb);
        return lost(at, s, rc, doing);
    }
    if (reply->code / 100 != 2)
        return refused(at, s, reply);
    reports_identify(s, verb, helo_name(s, at->arena));
    return true;
}

static bool take_features(struct attempt *at, struct session *s,
                          const struct wire_client_reply *reply)
{
    wire_features_parse(reply->text, discarded_keywords(at, s), &s->features);
    if (!s->esmtp)
        s->features.bits = s->features.xforward = 0;
    if (s->tls)
        s->features.bits &= ~(unsigned)FEATURE_STARTTLS;
    if (s->features.bad_size)
        log_warning(&s->smtp->log, "bad EHLO SIZE limit from %s", s->where);
    return true;
}

bool session_introduce(struct attempt *at, struct session *s)
{
    struct wire_client_reply reply;

    return introduce(at, s, true, &reply) && take_features(at, s, &reply);
}

bool session_greet(struct attempt *at, struct session *s, bool best)
{
    const struct smtp_settings *set = &s->smtp->set;
    struct wire_client_reply reply;
    bool esmtp;
    enum rc rc;

    session_limit(s, set->helo_timeout, 0);
    rc = session_read(s, &reply);
    if (rc != RC_OK)
        return lost(at, s, rc, "receiving the initial server greeting");
    if (reply.code / 100 == 5 && set->skip_5xx_greeting) /* this host, not this mail */
        reply.status = arena_printf(at->arena, "4" STR_FMT, STR_ARG(str_from(reply.status, 1)));
    if (reply.code / 100 != 2)
        return refused(at, s, &reply);
    reports_greeting(s, reply.text);
    if (is_masked(reply.text))
        use_pix_workarounds(at, s);
    esmtp = says_esmtp(s, reply.text, best) || set->always_send_ehlo;
    if (set->never_send_ehlo || s->pix & PIX_DISABLE_ESMTP)
        esmtp = false;
    return introduce(at, s, esmtp, &reply) && take_features(at, s, &reply) &&
           is_somebody_else(at, s, best);
}
