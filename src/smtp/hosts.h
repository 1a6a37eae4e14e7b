/*
 * From a next hop to addresses in the order in which they are tried (RFC 5321 5.1, RFC 2782):
 * MX or SRV preference, then the preferred address family, then chance.
 */
#pragma once

#include "smtp/nexthop.h"
#include "smtp/smtp.h"

struct host {
    struct str name;
    struct addr address; /* with port */
    int preference;
    unsigned long order; /* among equals */
    struct str final;    /* where aliases of the name lead; or as name */
    bool secure;         /* the address is authenticated (DNSSEC) */
    bool by_mx;          /* an MX or SRV record names it */
    bool mx_secure;      /* ... that is authenticated */
    struct str mx_final; /* where aliases of the next hop lead */
};

struct host_list {
    struct host *v;
    size_t n;
    bool by_mx;     /* best preference means something */
    bool we_are_mx; /* this machine is one of them: hosts behind it were left out */
};

struct trouble {
    const char *status; /* "4.4.3" */
    struct why why;
};

/* RC_OK: at least one host. Else the trouble says what to report. */
enum rc hosts_find(struct smtp *s, const struct nexthop *hop, struct arena *a,
                   struct host_list *out, struct trouble *trouble) MUST_USE;

/* Parts of it that are worth a test of their own. */
void hosts_sort(struct host *v, size_t n, struct str address_preference);
/* Keep at most limit hosts (0: all), both address families among them when there are both. */
size_t hosts_limit(struct host *v, size_t n, size_t limit, bool balance);
/* Remove the first host that is this machine, and all that are not better. True: found. */
bool hosts_cut_self(const struct smtp *s, struct host *v, size_t *n);
