#include "dns/resolver.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "dns/dns.h"
#include "dns/transport.h"
#include "util/cache.h"
#include "util/clock.h"
#include "util/file.h"
#include "util/memory.h"

enum {
    RELOAD_MS = 5000, /* how often resolv.conf is looked at, when there is something to ask */
    TTL_MAX = 86400,
    NEGATIVE_TTL_MAX = 3600,
    ALIAS_QUESTIONS_MAX = 10,
    VALIDATION_MS = 30 * 1000, /* many questions may stand behind one */
};

struct resolver *resolver_open(const struct resolver_options *options)
{
    struct resolver *r = NEW(struct resolver);

    r->options = *options;
    r->path = memory_text(options->resolv_conf ? options->resolv_conf : "/etc/resolv.conf");
    r->cache = cache_new(options->cache_entries ? options->cache_entries : 1000);
    pthread_mutex_init(&r->lock, NULL);
    resolver_servers(r, &(struct name_servers){0}); /* while the file can still be read */
    return r;
}

struct resolver *resolver_new(size_t cache_entries)
{
    struct resolver_options options = {.cache_entries = cache_entries};

    return resolver_open(&options);
}

void resolver_free(struct resolver *r)
{
    if (r == NULL)
        return;
    validator_free(r->validator);
    cache_free(r->cache);
    pthread_mutex_destroy(&r->lock);
    free(r->path);
    free(r);
}

static enum rc resolver_validate(struct resolver *r, const char *anchors, struct why *why)
{
    struct name_servers servers;

    resolver_servers(r, &servers);
    return validator_open(anchors, &servers, &r->validator, why);
}

static bool is_local(struct resolver *r)
{
    struct name_servers servers;

    resolver_servers(r, &servers);
    for (size_t i = 0; i < servers.n; i++)
        if (!addr_is_loopback(&servers.at[i]))
            return false;
    return true;
}

enum rc resolver_choose(struct resolver *r, struct str who, const char *anchors, struct why *why)
{
    struct why cause = {0};

    if (str_eq(who, STR("own")))
        return resolver_validate(r, anchors, why);
    if (str_eq(who, STR("resolver")) || is_local(r) ||
        resolver_validate(r, anchors, &cause) == RC_OK)
        return RC_OK;
    return FAIL(why, RC_NONE,
                "name servers of %s are on other machines, and their word about DNSSEC is "
                "believed, because answers cannot be validated here: %s",
                r->path, cause.text);
}

static void reload(struct resolver *r, const struct stat *st)
{
    AUTO_ARENA a = arena_new(4096);
    struct str text = STR("");

    if (file_read(r->path, 65536, a, &text, NULL) != RC_OK && r->servers.n)
        return; /* not readable any more (chroot): what we know stays */
    name_servers_parse(text, &r->servers);
    r->changed = st->st_mtim;
}

void resolver_servers(struct resolver *r, struct name_servers *out)
{
    struct stat st = {0};
    long now = clock_ms();

    pthread_mutex_lock(&r->lock);
    if (r->servers.n == 0 || now - r->looked_ms > RELOAD_MS) {
        r->looked_ms = now;
        if (stat(r->path, &st) == 0 || r->servers.n == 0)
            if (r->servers.n == 0 || st.st_mtim.tv_sec != r->changed.tv_sec ||
                st.st_mtim.tv_nsec != r->changed.tv_nsec)
                reload(r, &st);
    }
    *out = r->servers;
    for (size_t i = 0; i < out->n_search; i++)
        out->search[i].p = out->text + (r->servers.search[i].p - r->servers.text);
    pthread_mutex_unlock(&r->lock);
}

static enum rc ask_servers(struct resolver *r, struct str name, int type, struct arena *a,
                           struct dns_message *reply, struct str *bytes, struct why *why)
{
    struct name_servers servers;
    enum rc rc;

    if (r->validator == NULL) {
        resolver_servers(r, &servers);
        return name_servers_ask(&servers, name, type, r->options.dnssec, a, reply, bytes, why);
    }
    TRY(validator_ask(r->validator, name, type, VALIDATION_MS, a, bytes, why));
    rc = dns_message_parse(*bytes, a, reply, why);
    if (rc != RC_OK)
        return RC_TEMP;
    return reply->rcode == RCODE_OK || reply->rcode == RCODE_NXDOMAIN
               ? RC_OK
               : FAIL(why, RC_TEMP, "server failure (code %u)", reply->rcode);
}

/* One question, from the cache or from the network. */
static enum dns_status ask(struct resolver *r, struct str name, int type, struct arena *a,
                           struct dns_answer *answer, struct str *next, struct why *why)
{
    struct str key = arena_printf(a, "%d ", type), bytes;
    struct dns_message reply = {0};
    enum dns_status status;
    enum rc rc;
    long ttl;

    key = arena_join(a, key, name);
    if (cache_get(r->cache, key, a, &bytes) && dns_message_parse(bytes, a, &reply, why) == RC_OK)
        return dns_message_answer(&reply, name, type, a, answer, next, &ttl);
    rc = ask_servers(r, name, type, a, &reply, &bytes, why);
    if (rc != RC_OK)
        return answer->status = rc == RC_PERM && r->validator ? DNS_BOGUS : DNS_RETRY;
    if (!r->options.dnssec)
        reply.authenticated = false;
    status = dns_message_answer(&reply, name, type, a, answer, next, &ttl);
    if (status != DNS_FOUND && status != DNS_NULL_MX && ttl > NEGATIVE_TTL_MAX)
        ttl = NEGATIVE_TTL_MAX;
    cache_put(r->cache, key, bytes, ttl < TTL_MAX ? ttl : TTL_MAX);
    return status;
}

/* A complete name, following aliases that lead out of an answer. */
static enum dns_status lookup_absolute(struct resolver *r, struct str name, int type,
                                       struct arena *a, struct dns_answer *answer, struct why *why)
{
    struct str next = STR_NONE, cname = STR_NONE;
    bool authenticated = true;

    for (int i = 0; i < ALIAS_QUESTIONS_MAX; i++) {
        enum dns_status status = ask(r, name, type, a, answer, &next, why);
        if (answer->cname.n)
            cname = answer->cname;
        authenticated = authenticated && answer->authenticated;
        if (status != DNS_NODATA || next.n == 0 || str_eq(next, name)) {
            answer->cname = cname;
            answer->authenticated = authenticated;
            return status;
        }
        name = next;
    }
    why_set(why, RC_TEMP, "Name server loop for " STR_FMT, STR_ARG(name));
    return answer->status = DNS_INVALID;
}

static void explain(enum dns_status status, const struct why *cause, struct str name, int type,
                    struct why *why)
{
    const char *reason = "Host not found, try again";

    if (status == DNS_INVALID || (status == DNS_RETRY && cause->rc == RC_PERM)) {
        why_set(why, RC_TEMP,
                "Name service error for name=" STR_FMT
                " type=%s: Malformed or unexpected name server reply",
                STR_ARG(name), dns_type_name(type));
        return;
    }
    switch (status) {
    case DNS_FOUND: return;
    case DNS_BOGUS:
        why_set(why, RC_TEMP, "Name service error for name=" STR_FMT " type=%s: %s", STR_ARG(name),
                dns_type_name(type), cause->text);
        return;
    case DNS_NULL_MX:
        why_set(why, RC_PERM, "Domain " STR_FMT " does not accept mail (nullMX)", STR_ARG(name));
        return;
    case DNS_NXDOMAIN: reason = "Host not found"; break;
    case DNS_NODATA: reason = "Host found but no data record of requested type"; break;
    default: break;
    }
    why_set(why, status == DNS_NXDOMAIN || status == DNS_NODATA ? RC_PERM : RC_TEMP,
            "Host or domain name not found. Name service error for name=" STR_FMT " type=%s: %s",
            STR_ARG(name), dns_type_name(type), reason);
}

/* Names to try with res_defnames and res_dnsrch, in the C library's order. */
static enum dns_status lookup_search(struct resolver *r, struct str name, int type, struct arena *a,
                                     struct dns_answer *answer, struct why *why)
{
    bool dotted = str_index(name, '.') >= 0;
    enum dns_status status = DNS_NXDOMAIN;
    struct name_servers servers;
    size_t n;

    resolver_servers(r, &servers);
    if (dotted) {
        status = lookup_absolute(r, name, type, a, answer, why);
        if (status != DNS_NXDOMAIN)
            return status;
    }
    n = r->options.search ? servers.n_search : r->options.default_domain && !dotted;
    for (size_t i = 0; i < n && i < servers.n_search; i++) {
        struct str full =
            arena_printf(a, STR_FMT "." STR_FMT, STR_ARG(name), STR_ARG(servers.search[i]));
        status = lookup_absolute(r, full, type, a, answer, why);
        if (status != DNS_NXDOMAIN && status != DNS_NODATA)
            return status;
    }
    return dotted ? status : lookup_absolute(r, name, type, a, answer, why);
}

void resolver_filter(struct resolver *r, dns_drop *drop, void *context)
{
    r->drop = drop;
    r->drop_context = context;
}

static enum dns_status filter(struct resolver *r, struct str name, int type, struct arena *a,
                              struct dns_answer *answer, struct why *why)
{
    size_t kept = 0;

    for (size_t i = 0; i < answer->n; i++) {
        enum rc rc = r->drop(r->drop_context, dns_record_text(&answer->records[i], a), a, why);
        if (rc == RC_NONE)
            answer->records[kept++] = answer->records[i];
        else if (rc != RC_OK) {
            why_set(why, RC_TEMP,
                    "Error looking up name=" STR_FMT " type=%s: Invalid DNS reply filter syntax",
                    STR_ARG(name), dns_type_name(type));
            return DNS_RETRY;
        }
    }
    answer->n = kept;
    if (kept)
        return DNS_FOUND;
    why_set(why, RC_TEMP,
            "Error looking up name=" STR_FMT " type=%s: DNS reply filter drops all results",
            STR_ARG(name), dns_type_name(type));
    return DNS_BOGUS;
}

enum dns_status dns_lookup(struct resolver *r, struct str name, int type, struct arena *a,
                           struct dns_answer *answer, struct why *why)
{
    struct why cause = {0};
    struct str key;
    bool absolute = name.n && name.p[name.n - 1] == '.';

    *answer = (struct dns_answer){0};
    if (!dns_name_is_valid(name) && !str_eq(name, STR("."))) {
        why_set(why, RC_PERM, "Name service error for " STR_FMT ": invalid host or domain name",
                STR_ARG(name));
        return answer->status = DNS_NXDOMAIN;
    }
    key = arena_lower(a, absolute ? str_head(name, name.n - 1) : name);
    if (!absolute && (r->options.search || r->options.default_domain))
        lookup_search(r, key, type, a, answer, &cause);
    else
        lookup_absolute(r, key, type, a, answer, &cause);
    explain(answer->status, &cause, key, type, why);
    if (answer->status == DNS_FOUND && r->drop)
        answer->status = filter(r, name, type, a, answer, why);
    return answer->status;
}
