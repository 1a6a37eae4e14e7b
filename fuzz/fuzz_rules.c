/* Check rules: any file is parsed or refused with its line; what is parsed can be evaluated, and
 * finds what is there. */
#include "access.h"
#include "access/rules.h"

static void evaluate(const struct rules *r, struct arena *a)
{
    static struct access *access;
    static const struct log log = {0};
    struct access_context c = {.arena = a, .log = &log, .dry_run = true, .ident.asked = true};
    struct rule_hit hit = {0};
    struct why why = {0};

    if (access == NULL)
        access = make_access(STR("mynetworks = 10.0.0.0/8\n" FUZZ_MAIN_CF));
    c.access = access;
    FUZZ_CHECK(addr_parse(STR("10.1.2.3"), 0, &c.client.address, NULL) == RC_OK);
    c.client.name = c.client.reverse_name = STR("host.example");
    c.client.address_text = STR("10.1.2.3");
    c.sender = STR("joe@a.example");
    c.recipient = STR("ann@b.example");
    if (rules_find(r, &c, &hit, &why) != RC_OK || hit.message.n == 0)
        return;
    FUZZ_CHECK(rules_message_check(hit.message, &why) == RC_OK);
    FUZZ_CHECK(access_reply(&c, 550, "5.7.1", rules_expand(&c, hit.message)).n <= 510);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    AUTO_ARENA a = arena_new(1024);
    struct rules *r = NULL;
    struct why why = {0};

    if (rules_parse("F", text, &r, &why) != RC_OK) {
        FUZZ_CHECK(strncmp(why.text, "F, line ", 8) == 0);
        return 0;
    }
    if (str_find_nocase(text, STR("NS=")) < 0 && str_find(text, STR("RBL.")) < 0)
        evaluate(r, a);
    rules_free(r);
    return 0;
}
