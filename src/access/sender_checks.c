/* Checks of addresses that come from qmail-ldap. */
#include "access/restrictions.h"
#include "config/config.h"
#include "global/address.h"

/* "2-63" */
static enum rc parse_lengths(struct access *access, struct why *why)
{
    struct str text = access->config->smtpd_sender_tld_length, rest = text;
    struct str low = str_trim(str_cut(&rest, '-')), high = rest.p ? str_trim(rest) : low;

    if (str_to_long(low, 1, 63, &access->tld_min) &&
        str_to_long(high, access->tld_min, 63, &access->tld_max))
        return RC_OK;
    return FAIL(why, RC_CONFIG,
                "smtpd_sender_tld_length: bad range \"" STR_FMT "\"; write LOW-HIGH, from 1 to 63",
                STR_ARG(text));
}

enum rc sender_checks_open(struct access *access, struct why *why)
{
    struct str path = access->config->smtpd_rbl_list;

    TRY(parse_lengths(access, why));
    if (path.n == 0)
        return RC_OK;
    if (access->base && str_eq(access->base->config->smtpd_rbl_list, path)) {
        access->rbl_list = access->base->rbl_list;
        return RC_OK;
    }
    if (rbl_list_read(path, access->log, access->arena, &access->rbl_list, why) == RC_OK)
        return RC_OK;
    why_prefix(why, "smtpd_rbl_list");
    return RC_CONFIG;
}

enum verdict reject_null_sender(struct access_context *c, const struct step *s)
{
    (void)s;
    /* #@[] is the null sender of qmail's double bounces */
    if (c->sender.p == NULL || (c->sender.n && !str_eq(c->sender, STR("#@[]"))))
        return DUNNO;
    return refuse_subject(c, 554, "5.7.1", c->sender, CLASS_SENDER, STR("Bounces not accepted"));
}

static const char *flaw_of(const struct access *access, struct str address)
{
    ssize_t at = str_rindex(address, '@'), dot;
    struct str domain = domain_of(address);
    long length;

    if (at < 0)
        return "no domain";
    if (at == 0)
        return "no user";
    if (domain.n == 0)
        return "empty domain";
    if (domain.p[0] == '[')
        return NULL;
    dot = str_rindex(domain, '.');
    if (dot < 0)
        return "no dot in the domain";
    length = (long)domain.n - dot - 1;
    if (length < access->tld_min)
        return "top-level domain too short";
    return length > access->tld_max ? "top-level domain too long" : NULL;
}

enum verdict reject_malformed_sender(struct access_context *c, const struct step *s)
{
    const char *flaw = c->sender.n ? flaw_of(c->access, c->sender) : NULL;

    (void)s;
    if (flaw == NULL)
        return DUNNO;
    return refuse_subject(c, 554, "5.1.7", c->sender, CLASS_SENDER, str_of(flaw));
}

/* user%elsewhere@here, elsewhere!user@here, "user@elsewhere"@here */
enum verdict reject_relay_probe(struct access_context *c, const struct step *s)
{
    ssize_t at = str_rindex(c->recipient, '@');

    (void)s;
    if (c->recipient.p == NULL || at < 0 ||
        str_index_any(str_head(c->recipient, (size_t)at), "@%!") < 0)
        return DUNNO;
    return refuse_subject(c, 553, "5.7.1", c->recipient, CLASS_RECIPIENT,
                          STR("routing in the address not accepted"));
}

enum verdict check_sender_class(struct access_context *c)
{
    const unsigned own = RESOLVE_LOCAL | RESOLVE_VIRTUAL_ALIAS | RESOLVE_VIRTUAL_MAILBOX;
    struct str how = c->access->config->smtpd_sender_check;
    const struct resolved *r;
    enum verdict v;

    if (c->sender.n == 0 || str_eq(how, STR("no")))
        return DUNNO;
    c->subject = c->sender;
    c->subject_class = CLASS_SENDER;
    v = resolve(c, c->sender, &r);
    if (v != DUNNO || c->resolved_address.p == NULL)
        return v;
    if ((r->flags & own) || str_eq(how, STR("yes")))
        return check_listed(c, c->sender, CLASS_SENDER);
    if ((r->flags & RESOLVE_RELAY) && str_eq(how, STR("loose")))
        return DUNNO;
    return refuse_subject(c, 554, "5.7.1", c->sender, CLASS_SENDER,
                          STR("not an address of this system"));
}
