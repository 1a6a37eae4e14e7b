/* Match rules: any bytes are rules or an error with its line; what was accepted decides, and the
 * index finds the rule that one finds who looks at all. */
#include "dispatch/rules.h"
#include "fuzz.h"

static int first_line(const struct dispatch *d, const struct dispatch_facts *f, struct arena *a)
{
    struct why why;

    for (size_t i = 0; i < d->rules.n; i++) {
        const struct rule *r = &d->rules.v[i];
        size_t c = 0;
        while (c < r->conditions.n && condition_holds(&r->conditions.v[c], f, a, &why) == RC_OK)
            c++;
        if (c == r->conditions.n)
            return r->line;
    }
    return 0;
}

static const char *const addresses[] = {"a@b.test", "", "x", "x@", "@y.d.test", "a@b@c.d.test"};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = arena_new(4096);
    struct str text = {(const char *)data, size};
    struct dispatch *d = NULL;
    struct why why = {0};
    struct dispatch_facts f = {.client_name = STR("mx.test"),
                               .user = STR("ann"),
                               .helo = STR("mx.test"),
                               .sender = STR("a@b.test"),
                               .recipient = STR("c@d.test"),
                               .domain = STR("d.test"),
                               .tag = STR("T"),
                               .delimiters = STR("+")};
    struct dispatch_answer answer;

    if (size > 100000)
        return 0;
    if (dispatch_parse(text, "rules", &(struct table_env){NULL, NULL}, &d, &why) != RC_OK) {
        FUZZ_CHECK(why.text[0] != '\0');
        return 0;
    }
    FUZZ_CHECK(addr_parse(STR("10.0.0.1"), 25, &f.client, &why) == RC_OK);
    FUZZ_CHECK(dispatch_accepts(d, &f, a, &answer, &why) == RC_OK);
    FUZZ_CHECK(answer.accepted ? answer.action.n > 0 : answer.reply.n > 3);
    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
        f.sender = f.recipient = str_of(addresses[i]);
        f.is_submission = i % 2;
        FUZZ_CHECK(dispatch_decide(d, &f, a, &answer, &why) == RC_OK);
        FUZZ_CHECK(answer.line == first_line(d, &f, a));
    }
    dispatch_close(d);
    return 0;
}
