/* Match rules: any bytes are rules or an error with its line; what was accepted decides. */
#include "dispatch/dispatch.h"
#include "fuzz.h"

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
    dispatch_close(d);
    return 0;
}
