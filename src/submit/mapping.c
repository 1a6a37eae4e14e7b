/* Address rewriting: to standard form, canonical_maps and its relatives, masquerading, BCC maps. */
#include "auth/srs.h"
#include "global/address.h"
#include "submit/intake.h"
#include "util/clock.h"

enum { ROUNDS_MAX = 1000 };

void mapping_trouble(struct submission *s, const char *parameter, struct str address,
                     const struct why *why)
{
    log_warning(&s->log,
                "%s map lookup problem for " STR_FMT
                ": %s -- message not accepted, try again later",
                parameter, STR_ARG(address), why->text);
    submission_fail(s, SUBMIT_WRITE, STR_NONE);
}

struct str mapping_rewrite(struct submission *s, bool remote, struct str address)
{
    struct str out = address;
    struct why why;
    enum rc rc = rewrite_address(s->lib->rewriter, remote ? REWRITE_REMOTE : REWRITE_LOCAL, address,
                                 s->arena, &out, &why);

    if (rc == RC_OK)
        return out;
    log_warning(&s->log, "address rewriting of " STR_FMT ": %s", STR_ARG(address), why.text);
    submission_fail(s, SUBMIT_WRITE, STR_NONE);
    return address;
}

static bool is_local(void *context, struct str domain)
{
    struct submission *s = context;

    return resolve_is_local_domain(s->lib->rewriter, domain, NULL) == RC_OK;
}

enum rc mapping_get(struct submission *s, struct maps *maps, struct str address, struct str *value,
                    struct str *extension, struct why *why)
{
    const struct address_keys how = {
        .delimiters = s->lib->config->recipient_delimiter,
        .is_local = is_local,
        .context = s,
        .with_domain_only = true,
    };

    *extension = STR_NONE;
    return maps_get_address(maps, address, &how, s->arena, value, extension, why);
}

/* Look up again what comes out, until it maps to itself or to nothing. */
static struct str canonical(struct submission *s, const struct mapping *m, struct str address)
{
    for (int round = 0; round < ROUNDS_MAX; round++) {
        struct str value, extension;
        struct str_list to;
        struct why why;
        enum rc rc = mapping_get(s, m->maps, address, &value, &extension, &why);
        if (rc == RC_NONE)
            return address;
        if (rc != RC_OK) {
            mapping_trouble(s, m->parameter, address, &why);
            return address;
        }
        if (!(s->lib->extensions & EXTENSION_CANONICAL))
            extension = STR_NONE;
        to = mapping_result(s, value, address, extension);
        if (to.n > 1)
            log_warning(&s->log, "multi-valued %s entry for " STR_FMT "; only the first is used",
                        m->parameter, STR_ARG(address));
        if (to.n == 0 || str_eq_nocase(to.v[0], address))
            return to.n ? to.v[0] : address;
        address = to.v[0];
    }
    log_warning(&s->log,
                "unreasonable %s map nesting for " STR_FMT
                " -- message not accepted, try again later",
                m->parameter, STR_ARG(address));
    submission_fail(s, SUBMIT_WRITE, STR_NONE);
    return address;
}

/* The first domain in the list that is a parent (or '!' it) decides; the domain itself as well. */
static struct str masquerade(struct submission *s, struct str address)
{
    const struct masquerade *m = &s->lib->masquerade;
    struct address_parts parts = address_split(address);
    struct why why;
    enum rc rc = RC_NONE;

    if (!parts.has_domain || parts.domain.n == 0)
        return address;
    if (m->exceptions)
        rc = match_get(m->exceptions, parts.local, &why);
    if (rc == RC_OK)
        return address;
    if (rc != RC_NONE) {
        mapping_trouble(s, "masquerade_exceptions", parts.local, &why);
        return address;
    }
    for (size_t i = 0; i < m->n; i++) {
        bool keep = m->domains[i].p[0] == '!';
        struct str parent = str_from(m->domains[i], keep);
        size_t cut = parts.domain.n - parent.n;
        if (parts.domain.n < parent.n || !str_has_suffix_nocase(parts.domain, parent))
            continue;
        if (cut == 0 || (keep && parts.domain.p[cut - 1] == '.'))
            return address;
        if (parts.domain.p[cut - 1] == '.')
            return address_join(s->arena, parts.local, parent);
    }
    return address;
}

static struct str mapping_classes(struct submission *s, const struct mapping *special,
                                  struct str address, unsigned class)
{
    const struct submit_library *lib = s->lib;

    if (address.n == 0)
        return address;
    if (special->maps && (special->classes & class))
        address = canonical(s, special, address);
    if (lib->canonical.maps && (lib->canonical.classes & class))
        address = canonical(s, &lib->canonical, address);
    if (lib->masquerade.classes & class)
        address = masquerade(s, address);
    return address;
}

struct str mapping_sender(struct submission *s, struct str address, unsigned class)
{
    return mapping_classes(s, &s->lib->sender_canonical, address, class);
}

/* A bounce for mail that was forwarded from here goes on to whoever sent that. What only looks like
 * it stays, and is an unknown address. */
static struct str without_srs(struct submission *s, struct str address)
{
    struct str original;
    struct why why;

    return srs_reverse(s->lib->srs, address, clock_seconds(), s->arena, &original, &why) == RC_OK
               ? original
               : address;
}

struct str mapping_recipient(struct submission *s, struct str address, unsigned class)
{
    if (s->lib->srs && class == ENVELOPE_RECIPIENT)
        address = without_srs(s, address);
    return mapping_classes(s, &s->lib->recipient_canonical, address, class);
}

void mapping_bcc(struct submission *s, struct maps *maps, const char *parameter, struct str address)
{
    struct str value, extension;
    struct str_list to;
    struct why why;
    enum rc rc = mapping_get(s, maps, address, &value, &extension, &why);

    if (rc == RC_NONE)
        return;
    if (rc != RC_OK) {
        mapping_trouble(s, parameter, address, &why);
        return;
    }
    to = mapping_result(s, value, address, STR_NONE);
    for (size_t i = 0; i < to.n; i++)
        submit_add_bcc(s, to.v[i]);
}
