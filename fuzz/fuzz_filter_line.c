/* What filter programs say: a line that is taken has a session of the right length, and refusals
 * are replies. */
#include "filter/filter.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct filter_interest interest = {0};
    struct filter_line l = {0};
    struct why why = {0};

    if (filter_line_parse((struct str){(const char *)data, size}, &l, &why) != RC_OK) {
        FUZZ_CHECK(why.text[0]);
        return 0;
    }
    if (l.word == WORD_RESULT || l.word == WORD_DATALINE)
        FUZZ_CHECK(l.session.n == FILTER_SESSION_SIZE - 1);
    if (l.word == WORD_RESULT && (l.decision == DECIDE_REJECT || l.decision == DECIDE_DISCONNECT))
        FUZZ_CHECK(l.parameter.n >= 3 && (l.parameter.p[0] == '4' || l.parameter.p[0] == '5'));
    if (l.word == WORD_REGISTER_REPORT || l.word == WORD_REGISTER_FILTER)
        (void)!filter_interest_add(&interest, &l, &why);
    return 0;
}
