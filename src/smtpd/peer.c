/* Who is the client? Address, name by PTR and back, and what follows from them. */
#include "smtpd/smtpd.h"
#include "wire/proxy_header.h"

static void peer_label(struct session *s)
{
    struct access_client *c = &s->access.client;

    c->label =
        arena_printf(s->arena, STR_FMT "[" STR_FMT "]", STR_ARG(c->name), STR_ARG(c->address_text));
    if (s->config->smtpd_client_port_logging && c->port.n)
        c->label = arena_printf(s->arena, STR_FMT ":" STR_FMT, STR_ARG(c->label), STR_ARG(c->port));
}

static void find_name(struct session *s)
{
    if (!access_client_name(&s->access.client, s->smtpd->resolver, s->config->smtpd_peername_lookup,
                            s->arena, &s->why))
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

static void set_addresses(struct session *s, const struct addr *client, const struct addr *server)
{
    struct access_client *c = &s->access.client;

    c->address = *client;
    c->address_text = address_text(s, client);
    c->port = arena_printf(s->arena, "%u", addr_port(client));
    c->server_address = address_text(s, server);
    c->server_port = arena_printf(s->arena, "%u", addr_port(server));
}

/* A balancer in front of us tells whom it speaks for. Without that there is no session: the address
 * would be its own, which may be trusted. */
static enum rc read_proxy_header(struct session *s, struct addr *client, struct addr *server)
{
    long timeout_ms = s->wire.stream.timeout_ms;
    struct proxy_header h;
    enum rc rc;

    s->wire.stream.timeout_ms = s->config->smtpd_upstream_proxy_timeout * 1000;
    rc = proxy_header_read(&s->wire.stream, &h, &s->why);
    s->wire.stream.timeout_ms = timeout_ms;
    if (rc != RC_OK) {
        log_warning(&s->log, "haproxy read: %s",
                    rc == RC_TIMEOUT ? "time limit exceeded" : s->why.text);
        return RC_NONE;
    }
    if (!h.is_local) {
        *client = h.client;
        *server = h.server;
    }
    return RC_OK;
}

static enum rc find_addresses(struct session *s, int fd)
{
    struct addr client = {0}, server = {0};
    bool found = !s->on_stdin && addr_of_socket(fd, true, &client, &s->why) == RC_OK;

    if (!found && !s->on_stdin)
        return RC_NONE; /* it went away before we looked */
    if (found)
        TRY(addr_of_socket(fd, false, &server, &s->why));
    if (found && s->config->smtpd_upstream_proxy_protocol.n)
        TRY(read_proxy_header(s, &client, &server));
    if (s->on_stdin || addr_family(&client) == AF_UNIX) {
        local_user(s);
    } else {
        set_addresses(s, &client, &server);
        find_name(s);
    }
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
    const struct smtpd *smtpd;

    peer_label(s);
    instructions_apply(s);
    smtpd = s->smtpd;
    find_discards(s);
    auth_peer_known(s);
    s->rewrite_known = false;
    s->transcript.peer = s->access.client.label;
    s->log.verbose = s->smtpd->env->log.verbose;
    if (is_in(s, smtpd->debug_peers))
        s->log.verbose += (int)s->config->debug_peer_level;
    s->message_log.verbose = s->log.verbose;
    s->is_exempt = s->on_stdin || is_in(s, smtpd->limit_exceptions);
    s->may_verp = is_in(s, smtpd->verp_clients);
    s->wire.bare_lf = smtpd->bare_lf;
    if (s->wire.bare_lf != BARE_LF_ALLOW && is_in(s, smtpd->bare_lf_exclusions))
        s->wire.bare_lf = BARE_LF_ALLOW;
}

static void free_config(void *config)
{
    config_free(config);
}

size_t peer_own_name(const struct session *s, struct config_setting settings[OWN_NAME_SETTINGS])
{
    if (s->own_name.n == 0)
        return 0;
    settings[0] = (struct config_setting){STR("myhostname"), s->own_name, STR_NONE};
    settings[1] = (struct config_setting){STR("myorigin"), s->base_config->myorigin, STR_NONE};
    return OWN_NAME_SETTINGS;
}

/* smtpd_hostname_maps: this session's name, by the address that the client has chosen. */
static void find_own_name(struct session *s)
{
    struct config_setting settings[OWN_NAME_SETTINGS];
    struct config *own = NULL;
    enum rc rc;

    if (s->smtpd->hostnames == NULL)
        return;
    rc = maps_get(s->smtpd->hostnames, s->access.client.server_address, s->arena, &s->own_name,
                  &s->why);
    if (rc == RC_OK)
        rc = config_overlay(s->base_config, settings, peer_own_name(s, settings), &own, &s->why);
    if (rc == RC_OK) {
        arena_defer(s->arena, free_config, own);
        s->config = s->process_config = s->access.config = own;
        return;
    }
    s->own_name = STR_NONE;
    if (rc != RC_NONE)
        log_warning(&s->log, "smtpd_hostname_maps: %s", s->why.text);
}

enum rc peer_find(struct session *s, int fd)
{
    TRY(find_addresses(s, fd));
    find_own_name(s);
    peer_is_known(s);
    /* what the connected host may do stays as it is, whoever it speaks for later */
    s->may_xclient = is_in(s, s->smtpd->xclient_hosts);
    s->may_xforward = is_in(s, s->smtpd->xforward_hosts);
    return RC_OK;
}
