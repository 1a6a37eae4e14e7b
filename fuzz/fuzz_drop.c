/* Records of local programs: whatever comes, no line end or NUL gets into the envelope, and nothing
 * that only the mail system may say. First byte: who says it. */
#include "fuzz.h"
#include "submit/drop.h"

static bool is_clean(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == '\n' || s.p[i] == '\r' || s.p[i] == '\0')
            return false;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str bytes = {(const char *)data + 1, size ? size - 1 : 0}, payload;
    enum drop_source source = size ? data[0] % 3 : 0;
    struct arena *a = arena_new(4096);
    struct why why = {0};
    struct drop d;
    int type;

    drop_init(&d, source, 1, a);
    while (size && record_take(&bytes, &type, &payload, &why) == RC_OK) {
        enum drop_kind kind = DROP_IGNORED;
        size_t before = d.n_recipients;
        if (drop_record(&d, type, payload, &kind, &why) != RC_OK)
            break;
        FUZZ_CHECK(d.n_recipients == before + (kind == DROP_RECIPIENT));
        FUZZ_CHECK(kind != DROP_TEXT || d.part == DROP_CONTENT);
    }
    FUZZ_CHECK(is_clean(d.begin.sender) && is_clean(d.begin.full_name) && is_clean(d.begin.envid));
    FUZZ_CHECK(is_clean(d.recipient.address) && is_clean(d.recipient.dsn_orcpt));
    FUZZ_CHECK(d.begin.sender.n <= 1024 && d.recipient.address.n <= 1024 && d.begin.envid.n <= 255);
    if (source == DROP_FROM_PROGRAM) {
        FUZZ_CHECK(d.begin.arrival_sec == 0 && d.begin.origin.client_name.n == 0);
        FUZZ_CHECK(d.begin.filter.n == 0 && d.begin.origin.sasl_username.n == 0);
    }
    if (drop_check(&d, &why) == RC_OK)
        FUZZ_CHECK(d.has_sender && d.n_recipients > 0);
    arena_free(a);
    return 0;
}
