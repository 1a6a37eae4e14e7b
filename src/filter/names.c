/* The words of the protocol. */
#include "filter/filter.h"

static const char *const phases[FILTER_PHASES] = {
    "connect",   "helo", "ehlo", "starttls", "auth", "mail-from", "rcpt-to", "data",
    "data-line", "rset", "quit", "noop",     "help", "wiz",       "commit"};

static const char *const events[FILTER_EVENTS] = {
    "link-connect",    "link-greeting", "link-identify",   "link-tls",    "link-auth",
    "link-disconnect", "tx-reset",      "tx-begin",        "tx-mail",     "tx-rcpt",
    "tx-envelope",     "tx-data",       "tx-commit",       "tx-rollback", "protocol-client",
    "protocol-server", "filter-report", "filter-response", "timeout"};

static const char *const decisions[FILTER_DECISIONS] = {"proceed", "junk",   "reject", "disconnect",
                                                        "rewrite", "report", "bypass"};

const char *filter_phase_name(enum filter_phase p)
{
    return phases[p];
}

const char *filter_event_name(enum filter_event e)
{
    return events[e];
}

const char *filter_decision_name(enum filter_decision d)
{
    return decisions[d];
}
