/* A file of filters is taken as a whole or refused with words; what was taken can be asked. */
#include "filter/filter.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct filter_facts facts = {.rdns = STR("a.test"),
                                       .helo = STR("b.test"),
                                       .mail_from = STR("c@d.test"),
                                       .rcpt_to = STR("e@f.test")};
    struct filter_set set = {0};
    AUTO_ARENA a = arena_new(4096);
    struct why why = {0};

    if (filter_set_parse((struct str){(const char *)data, size}, "fuzz", STR("a b c"), a, &set,
                         &why) != RC_OK) {
        FUZZ_CHECK(why.text[0]);
        return 0;
    }
    for (size_t i = 0; i < set.n; i++)
        if (!set.list[i]->is_program)
            (void)filter_matches(set.list[i], &facts);
    return 0;
}
