/* smtp_dns_reply_filter, smtpd_dns_reply_filter: tables that drop records from DNS answers. */
#pragma once

#include "dns/dns.h"
#include "table/table.h"
#include "util/log.h"

/* All answers of this resolver go through the tables; both must stay. Before the first lookup. */
struct dns_filter {
    struct maps *maps;
    const struct log *log;
};
void dns_filter_install(struct dns_filter *f, struct resolver *r);
