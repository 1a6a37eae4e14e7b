/* rulesbench: how long one recipient takes with N check rules that no pattern of it matches until the last one.
 * Prints TSV: kind, rules, microseconds to parse a rule, microseconds for each recipient. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "access/rules.h"
#include "config/config.h"
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
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
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
    return 0;
}
