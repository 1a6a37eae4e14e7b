/* Address lists in header fields: addresses stand where they are said to stand; what is replaced
   by itself changes nothing. */
#include "fuzz.h"
#include "global/address.h"

static enum rc keep(void *context, struct str address, struct arena *a, struct str *out,
                    struct why *why)
{
    (void)a;
    (void)why;
    (*(size_t *)context)++;
    *out = address;
    return RC_OK;
}

static enum rc replace(void *context, struct str address, struct arena *a, struct str *out,
                       struct why *why)
{
    (void)context;
    (void)address;
    (void)a;
    (void)why;
    *out = STR("new@example.org");
    return RC_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = {(const char *)data, size}, out = STR("unset");
    AUTO_ARENA a = arena_new(0);
    struct header_address *list = NULL;
    size_t n = 0, asked = 0, end = 0, m = 0;
    struct why why;

    if (address_list_parse(in, a, &list, &n, &why) != RC_OK) {
        FUZZ_CHECK(why.rc == RC_PERM);
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        FUZZ_CHECK(list[i].start >= end && list[i].end >= list[i].start && list[i].end <= size);
        FUZZ_CHECK(list[i].address.n > 0);
        end = list[i].end;
    }
    FUZZ_CHECK(address_list_rewrite(in, keep, &asked, a, &out, &why) == RC_NONE);
    FUZZ_CHECK(asked == n && str_eq(out, STR("unset")));
    if (n == 0 || address_list_rewrite(in, replace, NULL, a, &out, &why) != RC_OK)
        return 0;
    FUZZ_CHECK(address_list_parse(out, a, &list, &m, &why) == RC_OK);
    return 0;
}
