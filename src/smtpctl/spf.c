/*
 * spf walk: the networks from which, as their SPF records say, the domains on standard input send
 * mail. For tables of clients that greylisting and the like shall leave alone.
 */
#include <stdlib.h>

#include "dns/dns.h"
#include "smtpctl/smtpctl.h"

enum { LOOKUPS_PER_DOMAIN = 100, LINE_BYTES = 1024 };

struct walk {
    struct resolver *resolver;
    struct arena *arena;
    struct map seen;    /* domains whose record was read */
    struct map printed; /* networks */
    long lookups;       /* left */
};

static void walk(struct walk *w, struct str domain);

static void print_once(struct walk *w, struct str network)
{
    if (network.n == 0 || map_get(&w->printed, network))
        return;
    network = arena_copy(w->arena, network);
    map_put(&w->printed, network, w);
    printf(STR_FMT "\n", STR_ARG(network));
}

static bool look_up(struct walk *w, struct str name, int type, struct dns_answer *answer)
{
    struct why why;

    *answer = (struct dns_answer){0};
    return w->lookups-- > 0 &&
           dns_lookup(w->resolver, name, type, w->arena, answer, &why) == DNS_FOUND;
}

static void print_records(struct walk *w, struct str host, int type, struct str prefix)
{
    struct dns_answer answer;

    if (!look_up(w, host, type, &answer))
        return;
    for (size_t i = 0; i < answer.n; i++) {
        char text[ADDR_TEXT_SIZE];
        addr_format(&answer.records[i].address, text);
        print_once(w, arena_printf(w->arena, "%s" STR_FMT, text, STR_ARG(prefix)));
    }
}

/* "/24//64": the first is for IPv4, the second for IPv6 (RFC 7208 5.6). */
static void print_addresses(struct walk *w, struct str host, struct str prefix)
{
    ssize_t both = str_find(prefix, STR("//"));

    print_records(w, host, DNS_A, both >= 0 ? str_head(prefix, (size_t)both) : prefix);
    print_records(w, host, DNS_AAAA, both >= 0 ? str_from(prefix, (size_t)both + 1) : STR_NONE);
}

static void print_mx(struct walk *w, struct str domain, struct str prefix)
{
    struct dns_answer answer;

    if (!look_up(w, domain, DNS_MX, &answer))
        return;
    for (size_t i = 0; i < answer.n; i++)
        print_addresses(w, answer.records[i].data, prefix);
}

/* "a:host/24" -> argument "host" (or the domain itself), prefix "/24". */
static struct str argument_of(struct str term, struct str domain, struct str *prefix)
{
    ssize_t slash = str_index(term, '/'), colon = str_index(term, ':');
    struct str head = slash >= 0 ? str_head(term, (size_t)slash) : term;

    *prefix = slash >= 0 ? str_from(term, (size_t)slash) : STR_NONE;
    return colon >= 0 && (slash < 0 || colon < slash) ? str_from(head, (size_t)colon + 1) : domain;
}

static void take_term(struct walk *w, struct str domain, struct str term)
{
    struct str prefix, argument;

    if (term.n && term.p[0] == '+')
        term = str_from(term, 1);
    if (term.n == 0 || strchr("-~?", term.p[0])) /* who is not meant to send */
        return;
    if (str_index(term, '%') >= 0) {
        fprintf(stderr, "smtpctl: " STR_FMT ": depends on the message, left out\n", STR_ARG(term));
        return;
    }
    argument = argument_of(term, domain, &prefix);
    if (str_has_prefix_nocase(term, STR("ip4:")) || str_has_prefix_nocase(term, STR("ip6:")))
        print_once(w, str_from(term, 4));
    else if (str_has_prefix_nocase(term, STR("include:")))
        walk(w, str_from(term, 8));
    else if (str_has_prefix_nocase(term, STR("redirect=")))
        walk(w, str_from(term, 9));
    else if (str_has_prefix_nocase(term, STR("mx")))
        print_mx(w, argument, prefix);
    else if (str_eq_nocase(str_head(term, 1), STR("a")) &&
             (term.n == 1 || term.p[1] == ':' || term.p[1] == '/'))
        print_addresses(w, argument, prefix);
}

static void walk(struct walk *w, struct str domain)
{
    struct dns_answer answer;
    struct str name = arena_lower(w->arena, domain);

    if (name.n == 0 || map_get(&w->seen, name))
        return;
    map_put(&w->seen, name, w);
    if (!look_up(w, name, DNS_TXT, &answer))
        return;
    for (size_t i = 0; i < answer.n; i++) {
        struct str rest = answer.records[i].data, term;
        if (!str_has_prefix_nocase(rest, STR("v=spf1")) || (rest.n > 6 && rest.p[6] != ' '))
            continue;
        rest = str_from(rest, 6);
        while (str_token(&rest, " ", &term))
            take_term(w, name, term);
    }
}

int do_spf_walk(struct smtpctl *s)
{
    struct resolver_options options = {.resolv_conf = s->command.config->dns_resolver_file.p};
    struct walk w = {.resolver = resolver_open(&options), .arena = s->arena};
    char line[LINE_BYTES];

    map_init(&w.seen);
    map_init(&w.printed);
    while (fgets(line, sizeof line, stdin)) {
        struct str domain = str_trim(str_of(line));
        w.lookups = LOOKUPS_PER_DOMAIN;
        walk(&w, arena_copy(s->arena, domain));
    }
    map_done(&w.seen);
    map_done(&w.printed);
    resolver_free(w.resolver);
    return STATUS_DONE;
}
