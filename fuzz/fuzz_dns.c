/* DNS answers: nothing outside the message is read, and what is accepted stays within its limits.
 */
#include "dns/message.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = arena_new(4096);
    struct dns_message m = {0};
    struct dns_answer answer = {0};
    struct str next;
    long ttl;

    if (dns_message_parse((struct str){(const char *)data, size}, a, &m, NULL) != RC_OK)
        return 0;
    FUZZ_CHECK(m.n <= DNS_RECORDS_MAX);
    for (size_t i = 0; i < m.n; i++)
        FUZZ_CHECK(dns_record_text(&m.records[i], a).n > 0);
    dns_message_answer(&m, m.question, m.question_type, a, &answer, &next, &ttl);
    FUZZ_CHECK(answer.n <= m.n && ttl >= 0);
    FUZZ_CHECK(answer.status != DNS_FOUND || answer.n > 0);
    return 0;
}
