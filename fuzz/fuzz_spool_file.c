/* Spool files of Obtuse smtpd: what is accepted has its parts within the file, and each mark where
 * it says. */
#include "fuzz.h"
#include "submit/spool_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    AUTO_ARENA a = arena_new(1024);
    struct spool_message m;
    struct why why = {0};

    if (spool_parse(text, a, &m, &why) != RC_OK) {
        FUZZ_CHECK(why.text[0]);
        return 0;
    }
    FUZZ_CHECK(m.recipients.n > 0 && (size_t)m.body <= size && str_index(m.sender, '\n') < 0);
    for (size_t i = 0; i < m.recipients.n; i++) {
        static const char *const words[] = {"RCPT ", "SENT ", "FAIL "};
        FUZZ_CHECK(str_has_prefix(str_from(text, (size_t)m.recipients.v[i].at),
                                  str_of(words[m.recipients.v[i].state])));
        FUZZ_CHECK(m.recipients.v[i].address.n && str_index(m.recipients.v[i].address, '\n') < 0);
    }
    return 0;
}
