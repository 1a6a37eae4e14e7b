/* Who is the client, by the words of the DNS. */
#include "access/access.h"
#include "dns/dns.h"

bool access_client_name(struct access_client *c, struct resolver *resolver, bool look_up,
                        struct arena *a, struct why *why)
{
    struct str name = STR_NONE;
    enum dns_status status = DNS_NXDOMAIN;

    c->name = c->reverse_name = STR("unknown");
    if (look_up)
        status = dns_reverse(resolver, &c->address, a, &name, why);
    if (name.n == 0) {
        c->name_status = c->reverse_status = status == DNS_RETRY ? PEER_TEMP : PEER_PERM;
        return true;
    }
    c->reverse_name = name;
    c->reverse_status = PEER_OK;
    c->name_status = status == DNS_FOUND ? PEER_OK : status == DNS_RETRY ? PEER_TEMP : PEER_FORGED;
    if (status == DNS_FOUND)
        c->name = name;
    return status == DNS_FOUND;
}
