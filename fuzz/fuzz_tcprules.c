/* tcp.rules: any file is parsed or refused with its line; what is parsed is found again, as text
 * and as compiled data. */
#include "fuzz.h"
#include "table/tcprules.h"

static void check_data(const struct client_rule *rule, struct arena *a)
{
    struct client_rule again = {0};

    for (size_t i = 0; i < rule->variables.n; i++)
        if (str_index(rule->variables.v[i].value, '\0') >= 0 ||
            str_index(rule->variables.v[i].name, '\0') >= 0)
            return;
    FUZZ_CHECK(tcprules_data_parse(tcprules_data(a, rule), a, &again, NULL) == RC_OK);
    FUZZ_CHECK(again.decision == rule->decision && again.variables.n == rule->variables.n);
    for (size_t i = 0; i < again.variables.n; i++)
        FUZZ_CHECK(str_eq(again.variables.v[i].value, rule->variables.v[i].value));
}

/* An exact address in a rule finds that rule. */
static void check_found(const struct tcprules *rules, const struct client_rule *rule,
                        struct arena *a)
{
    struct client_query q = {.name = STR(""), .user = STR("")};
    struct client_rule found = {0};

    if (rule->key.n > 15 || addr_parse(rule->key, 0, &q.address, NULL) != RC_OK ||
        addr_family(&q.address) != AF_INET)
        return;
    FUZZ_CHECK(tcprules_find(rules, &q, a, &found) == RC_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    struct client_query q = {.name = STR("mail.Ex.org"), .user = STR("joe")};
    AUTO_ARENA a = arena_new(4096);
    struct tcprules *rules = NULL;
    struct client_rule rule, found = {0};
    struct why why = {0};

    if (tcprules_parse(text, "F", NULL, a, &rules, &why) != RC_OK) {
        FUZZ_CHECK(strncmp(why.text, "F, line ", 8) == 0);
        return 0;
    }
    for (size_t i = 0; i < 1000 && tcprules_rule(rules, i, a, &rule); i++) {
        check_data(&rule, a);
        check_found(rules, &rule, a);
    }
    FUZZ_CHECK(addr_parse(STR("10.1.2.3"), 0, &q.address, NULL) == RC_OK);
    if (tcprules_find(rules, &q, a, &found) == RC_OK)
        FUZZ_CHECK(found.decision == CLIENT_ALLOW || found.decision == CLIENT_DENY);
    return 0;
}
