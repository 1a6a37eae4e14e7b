/* Delays, sizes, ports, names to listen on, relay URLs. */
#include <errno.h>
#include <ifaddrs.h>
#include <limits.h>
#include <netdb.h>

#include "smtpdconf/parse.h"
#include "util/net.h"

bool parse_delay(struct str text, long *seconds)
{
    static const struct {
        char unit;
        long seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    long n;

    if (text.n < 2 || !str_to_long(str_head(text, text.n - 1), 1, INT_MAX, &n) ||
        !is_digit(text.p[0]))
        return false;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (text.p[text.n - 1] == units[i].unit && n <= INT_MAX / units[i].seconds) {
            *seconds = n * units[i].seconds;
            return true;
        }
    return false;
}

bool parse_size(struct str text, long *bytes)
{
    static const char units[] = "KMGTPE";
    const char *unit;
    struct str fraction;
    long n = 0, factor = 1;
    double part = 0, scale = 0.1;

    if (text.n == 0)
        return false;
    unit = memchr(units, to_upper(text.p[text.n - 1]), sizeof units - 1);
    if (to_upper(text.p[text.n - 1]) == 'B' || unit)
        text.n--;
    for (; unit && unit >= units; unit--)
        factor *= 1024;
    fraction = text;
    text = str_cut(&fraction, '.');
    if ((text.n == 0 && fraction.n == 0) ||
        (text.n && (!is_digit(text.p[0]) || !str_to_long(text, 0, LONG_MAX / factor - 1, &n))))
        return false;
    for (size_t i = 0; i < fraction.n; i++, scale /= 10) {
        if (!is_digit(fraction.p[i]))
            return false;
        part += scale * (fraction.p[i] - '0');
    }
    *bytes = n * factor + (long)(part * (double)factor);
    return true;
}

bool parse_want_delay(struct parser *p, const char *what, long *seconds)
{
    struct str text;

    if (!parse_want_string(p, &text))
        return false;
    if (parse_delay(text, seconds))
        return true;
    if (text.n > 1 && strchr("smhd", text.p[text.n - 1]))
        text.n--; /* the unit was understood: what is wrong is the number */
    return what ? parse_error(p, "invalid %s delay: " STR_FMT, what, STR_ARG(text))
                : parse_error(p, "ttl delay \"" STR_FMT "\" is invalid", STR_ARG(text));
}

bool parse_want_port(struct parser *p, bool mail_names, unsigned *port)
{
    struct str name;
    long n;

    if (p->token.kind == TOKEN_NUMBER) {
        n = p->token.number;
        parse_advance(p);
        if (n <= 0 || n > 65535)
            return parse_error(p, "invalid port: %ld", n);
        *port = (unsigned)n;
        return true;
    }
    if (mail_names && (parse_is_word(p, "smtp") || parse_is_word(p, "smtps"))) {
        *port = parse_is_word(p, "smtp") ? 25 : 465;
        parse_advance(p);
        return true;
    }
    if (!parse_want_string(p, &name))
        return false;
    *port = p->request->offline ? 0 : port_of(name);
    if (*port == 0)
        return parse_error(p, "invalid port: " STR_FMT, STR_ARG(name));
    return true;
}

/* ---- what can be listened on ---- */

static bool is_interface_name(const char *name)
{
    struct ifaddrs *all = NULL;
    bool found = false;

    if (getifaddrs(&all) != 0)
        return false;
    for (const struct ifaddrs *i = all; i; i = i->ifa_next)
        found = found || strcmp(i->ifa_name, name) == 0;
    freeifaddrs(all);
    return found;
}

static bool has_address(const char *name)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found = NULL;

    if (getaddrinfo(name, NULL, &hints, &found) != 0)
        return false;
    freeaddrinfo(found);
    return true;
}

bool parse_is_interface(struct str name)
{
    /* lo0 is what the loopback interface is called elsewhere; groups have no interface's name. */
    static const char *const known[] = {"egress", "all", "lo0", "lo", "localhost"};
    struct addr address;
    struct why why;

    if (addr_parse(name, 0, &address, &why) == RC_OK)
        return true;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (str_eq(name, str_of(known[i])))
            return true;
    return is_interface_name(name.p) || has_address(name.p);
}

/* ---- relay URLs ---- */

static const struct {
    const char *name;
    enum relay_protocol protocol;
    unsigned port; /* 0: must be given */
} protocols[] = {{"smtp://", RELAY_SMTP, 25},
                 {"smtp+tls://", RELAY_TLS, 25},
                 {"smtp+notls://", RELAY_NO_TLS, 25},
                 {"smtps://", RELAY_SMTPS, 465},
                 {"lmtp://", RELAY_LMTP, 0}};

enum rc relay_url_parse(struct str text, struct relay_url *out, struct why *why)
{
    struct relay_url u = {.protocol = RELAY_SMTP, .port = 25};
    struct str rest = text, port = STR_NONE;
    ssize_t at;

    if (str_find(text, STR("://")) >= 0) {
        size_t i = 0, n = sizeof protocols / sizeof *protocols;
        while (i < n && !str_has_prefix_nocase(text, str_of(protocols[i].name)))
            i++;
        if (i == n)
            return FAIL(why, RC_PERM, "unknown protocol in relay url " STR_FMT, STR_ARG(text));
        u.protocol = protocols[i].protocol;
        u.port = protocols[i].port;
        rest = str_from(text, strlen(protocols[i].name));
    }
    if ((at = str_rindex(rest, '@')) >= 0) {
        u.label = str_head(rest, (size_t)at);
        rest = str_from(rest, (size_t)at + 1);
    }
    if (rest.n && rest.p[0] == '/' && u.protocol == RELAY_LMTP) {
        u.host = rest;
        *out = u;
        return RC_OK;
    }
    TRY(host_port_split(rest, &u.host, &port, why));
    if (port.n && (u.port = port_of(port)) == 0)
        return FAIL(why, RC_PERM, "bad port in relay url " STR_FMT, STR_ARG(text));
    if (u.host.n == 0 || u.port == 0)
        return FAIL(why, RC_PERM, "relay url " STR_FMT " has no %s", STR_ARG(text),
                    u.host.n ? "port" : "host");
    if (u.host.n > 1 && u.host.p[0] == '[' && u.host.p[u.host.n - 1] == ']')
        u.host = (struct str){u.host.p + 1, u.host.n - 2};
    *out = u;
    return RC_OK;
}
