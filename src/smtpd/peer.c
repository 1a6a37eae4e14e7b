/* Who is the client? Address, name by PTR and back, and what follows from them. */
#include "smtpd/smtpd.h"

void peer_label(struct session *s)
{
    struct access_client *c = &s->access.client;

    c->label =
        arena_printf(s->arena, STR_FMT "[" STR_FMT "]", STR_ARG(c->name), STR_ARG(c->address_text));
    if (s->config->smtpd_client_port_logging && c->port.n)
        c->label = arena_printf(s->arena, STR_FMT ":" STR_FMT, STR_ARG(c->label), STR_ARG(c->port));
}

static void find_name(struct session *s)
{
    struct access_client *c = &s->access.client;
    struct str name = STR_NONE;
    enum dns_status status;

    c->name = c->reverse_name = STR("unknown");
    c->name_status = c->reverse_status = PEER_PERM;
    if (!s->config->smtpd_peername_lookup)
        return;
    status = dns_reverse(s->smtpd->resolver, &c->address, s->arena, &name, &s->why);
    if (name.n == 0) {
        c->name_status = c->reverse_status = status == DNS_RETRY ? PEER_TEMP : PEER_PERM;
        return;
    }
    c->reverse_name = name;
    c->reverse_status = PEER_OK;
    c->name_status = status == DNS_FOUND ? PEER_OK : status == DNS_RETRY ? PEER_TEMP : PEER_FORGED;
    if (status == DNS_FOUND)
        c->name = name;
    else
        log_warning(&s->log, "%s", s->why.text);
}

/* A user of this machine: sendmail -bs, or a UNIX-domain socket. */
static void local_user(struct session *s)
{
    struct access_client *c = &s->access.client;

    if (addr_parse(STR("127.0.0.1"), 0, &c->address, NULL) != RC_OK)
        return;
    c->name = c->reverse_name = STR("localhost");
    c->address_text = STR("127.0.0.1");
    c->port = STR("0");
    c->server_address = STR("127.0.0.1");
    c->server_port = STR("0");
}

static struct str address_text(struct session *s, const struct addr *a)
{
    char text[ADDR_TEXT_SIZE];

    addr_format(a, text);
    return arena_copy(s->arena, str_of(text));
}

enum rc peer_find(struct session *s, int fd)
{
    struct access_client *c = &s->access.client;
    struct addr server;

    if (s->on_stdin || addr_of_socket(fd, true, &c->address, &s->why) != RC_OK ||
        addr_family(&c->address) == AF_UNIX) {
        if (!s->on_stdin && c->address.bytes == 0)
            return RC_NONE; /* it went away before we looked */
        local_user(s);
    } else {
        TRY(addr_of_socket(fd, false, &server, &s->why));
        c->address_text = address_text(s, &c->address);
        c->port = arena_printf(s->arena, "%u", addr_port(&c->address));
        c->server_address = address_text(s, &server);
        c->server_port = arena_printf(s->arena, "%u", addr_port(&server));
        find_name(s);
    }
    peer_is_known(s);
    return RC_OK;
}

static bool is_in(struct session *s, struct match_list *list)
{
    return list &&
           match_client(list, s->access.client.name, &s->access.client.address, &s->why) == RC_OK;
}

static const struct {
    const char *word;
    enum ehlo_keyword bit;
} keywords[] = {
    {"8bitmime", EHLO_8BITMIME},
    {"pipelining", EHLO_PIPELINING},
    {"size", EHLO_SIZE},
    {"vrfy", EHLO_VRFY},
    {"etrn", EHLO_ETRN},
    {"auth", EHLO_AUTH},
    {"verp", EHLO_VERP},
    {"starttls", EHLO_STARTTLS},
    {"xclient", EHLO_XCLIENT},
    {"xforward", EHLO_XFORWARD},
    {"enhancedstatuscodes", EHLO_ENHANCEDSTATUSCODES},
    {"dsn", EHLO_DSN},
    {"smtputf8", EHLO_SMTPUTF8},
    {"chunking", EHLO_CHUNKING},
    {"requiretls", EHLO_REQUIRETLS},
    {"silent-discard", EHLO_SILENT},
};

enum rc ehlo_keywords_parse(struct str list, unsigned *bits, struct why *why)
{
    struct str word;
    unsigned found = 0;

    while (str_token(&list, LIST_SEPARATORS, &word)) {
        size_t i = 0, n = sizeof keywords / sizeof *keywords;
        while (i < n && !str_eq_nocase(word, str_of(keywords[i].word)))
            i++;
        if (i == n)
            return FAIL(why, RC_CONFIG, "unknown EHLO keyword \"" STR_FMT "\"", STR_ARG(word));
        found |= keywords[i].bit;
    }
    *bits = found;
    return RC_OK;
}

/* What this client is not told about. */
static void find_discards(struct session *s)
{
    struct str list;

    s->ehlo_discard = s->smtpd->ehlo_discard;
    if (s->smtpd->ehlo_discards == NULL)
        return;
    switch (maps_get(s->smtpd->ehlo_discards, s->access.client.address_text, s->arena, &list,
                     &s->why)) {
    case RC_OK:
        if (ehlo_keywords_parse(list, &s->ehlo_discard, &s->why) == RC_OK)
            return;
        break;
    case RC_NONE: return;
    default: break;
    }
    log_warning(&s->log, "smtpd_discard_ehlo_keyword_address_maps: %s", s->why.text);
}

void peer_is_known(struct session *s)
{
    const struct smtpd *smtpd = s->smtpd;

    peer_label(s);
    find_discards(s);
    s->rewrite_known = false;
    s->is_exempt = s->on_stdin || is_in(s, smtpd->limit_exceptions);
    s->may_xclient = is_in(s, smtpd->xclient_hosts);
    s->may_xforward = is_in(s, smtpd->xforward_hosts);
    s->may_verp = is_in(s, smtpd->verp_clients);
    s->wire.bare_lf = smtpd->bare_lf;
    if (s->wire.bare_lf != BARE_LF_ALLOW && is_in(s, smtpd->bare_lf_exclusions))
        s->wire.bare_lf = BARE_LF_ALLOW;
}
