/* rulesbench: how long one recipient takes with N check rules, and with N match rules, of which only the last one matches.
 * Prints TSV: kind, rules, microseconds to parse a rule, microseconds for each recipient. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "access/rules.h"
#include "config/config.h"
#include "dispatch/dispatch.h"
#include "util/buf.h"

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); /* others may use the machine */
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static const struct {
    const char *kind, *rule;
} kinds[] = {
    {"sender domain", "noto:ALL:*@d%d.example:ALL:550 no\n"},
    {"sender", "noto:ALL:u%d@example.com:ALL:550 no\n"},
    {"subdomains", "noto:ALL:*@*.d%d.example:ALL:550 no\n"},
    {"network", "deny:10.%d.%d.0/24:ALL:ALL:550 no\n"},
    {"client name", "noto:*.n%d.example:ALL:ALL:550 no\n"},
    {"no index: *x*", "noto:ALL:*x%dx*:ALL:550 no\n"},
};

static void fill(struct buf *b, const char *format, int n)
{
    for (int i = 0; i < n - 1; i++) {

        if (strstr(format, "10.%d"))
            buf_addf(b, format, i / 256 % 256, i % 256);
        else
            buf_addf(b, format, i);
    }
    buf_add(b, STR("allow:ALL:ALL:ALL\n"));
}

static void measure(struct access_context *c, const char *kind, const char *format, int n)
{
    struct rules *r = NULL;
    struct rule_hit hit = {0};
    struct why why = {0};
    struct buf b;
    double start, parsed, end;
    int turns = 0;

    buf_init(&b, 64 << 20);
    fill(&b, format, n);
    start = now();
    if (rules_parse("bench", buf_str(&b), &r, &why) != RC_OK) {
        fprintf(stderr, "%s\n", why.text);
        exit(1);
    }
    parsed = now();
    do {
        if (rules_find(r, c, &hit, &why) != RC_OK || hit.line != n)
            abort();
        arena_reset(c->arena);
        end = now();
        turns++;
    } while (end - parsed < 0.5);
    printf("%s\t%d\t%.2f\t%.2f\n", kind, n, (parsed - start) * 1e6 / n, (end - parsed) * 1e6 / turns);
    fflush(stdout);
    rules_free(r);
    buf_done(&b);
}

/* ---- match rules: what opensmtpd makes of a rule with a list of one entry ---- */

static const struct {
    const char *kind, *entry, *match;
} match_kinds[] = {
    {"match: for domain", "d%d.example", "domain=l%d"},
    {"match: one domain, mail-from", "u%d@example.com", "domain=ours sender=l%d"},
    {"match: src", "10.%d.%d.0/24", "client=l%d any"},
    {"match: for rcpt-to, a relay list of 1,000", "u%d@example.org", "client=relays recipient=l%d"},
    {"match: auth", "user%d", "auth=l%d any"},
    {"match: no index: *x*", "*x%dx*", "domain=l%d"},
};

static void fill_match(struct buf *b, size_t kind, int n)
{
    buf_add(b, STR("action a any\nlist ours\n example.org\nlist relays\n"));
    for (int i = 0; i < 1000; i++)
        buf_addf(b, " 192.0.%d.%d\n", i / 250, i % 250);
    for (int i = 0; i < n - 1; i++) {
        buf_addf(b, "list l%d\n ", i);
        if (strstr(match_kinds[kind].entry, "10.%d"))
            buf_addf(b, match_kinds[kind].entry, i / 256 % 256, i % 256);
        else
            buf_addf(b, match_kinds[kind].entry, i);
        buf_add(b, STR("\nmatch "));
        buf_addf(b, match_kinds[kind].match, i);
        buf_add(b, STR(" reject\n"));
    }
    buf_add(b, STR("match any action a\n"));
}

static void measure_match(const struct dispatch_facts *f, size_t kind, int n)
{
    struct table_env env = {0};
    struct dispatch *d = NULL;
    struct dispatch_answer answer = {0};
    struct arena *a = arena_new(16 * 1024);
    struct why why = {0};
    struct buf b;
    double start, parsed, end;
    int turns = 0;

    buf_init(&b, 64 << 20);
    fill_match(&b, kind, n);
    start = now();
    if (dispatch_parse(buf_str(&b), "bench", &env, &d, &why) != RC_OK) {
        fprintf(stderr, "%s\n", why.text);
        exit(1);
    }
    parsed = now();
    do {
        if (dispatch_decide(d, f, a, &answer, &why) != RC_OK || !answer.accepted)
            abort();
        arena_reset(a);
        end = now();
        turns++;
    } while (end - parsed < 0.5);
    printf("%s\t%d\t%.2f\t%.2f\n", match_kinds[kind].kind, n, (parsed - start) * 1e6 / n, (end - parsed) * 1e6 / turns);
    fflush(stdout);
    dispatch_close(d);
    arena_free(a);
    buf_done(&b);
}

int main(void)
{
    static const int sizes[] = {10, 100, 1000, 10000, 60000};
    static const struct log log;
    struct str main_cf = STR("compatibility_level = 3.11\nalias_maps =\nlocal_recipient_maps =\n");
    struct config_request request = {.dir = "/nonexistent", .main_cf = &main_cf};
    struct config *config = NULL;
    struct access *access = NULL;
    struct access_context c = {.log = &log, .dry_run = true, .ident.asked = true};
    struct why why;

    if (config_load(&request, &config, &why) != RC_OK)
        return 1;
    access = access_unrestricted(config, &log);
    c.access = access;
    c.arena = arena_new(16 * 1024);
    if (addr_parse(STR("192.0.2.77"), 0, &c.client.address, &why) != RC_OK)
        return 1;
    c.client.name = c.client.reverse_name = STR("mail.some.host.example");
    c.client.address_text = STR("192.0.2.77");
    c.sender = STR("somebody@sub.domain.example");
    c.recipient = STR("user@example.org");
    printf("kind\trules\tparse_us_per_rule\tus_per_recipient\n");
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            measure(&c, kinds[k].kind, kinds[k].rule, sizes[s]);
    struct dispatch_facts facts = {.client = c.client.address, .client_name = c.client.name, .user = STR("somebody"), .helo = c.client.name,
                                   .sender = c.sender, .recipient = c.recipient};
    for (size_t k = 0; k < sizeof match_kinds / sizeof *match_kinds; k++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            measure_match(&facts, k, sizes[s]);
    return 0;
}
