/* Paths of MAIL and RCPT: what is accepted can be written and read again as the same address. */
#include "fuzz.h"
#include "global/address.h"

static void check(struct str in, bool strict, bool utf8)
{
    AUTO_ARENA a = arena_new(0);
    struct str address, rest, again, path, nothing;
    struct why why;

    if (address_parse_path(in, strict, utf8, a, &address, &rest, &why) != RC_OK)
        return;
    FUZZ_CHECK(address.n <= in.n && rest.n <= in.n);
    FUZZ_CHECK(memchr(address.p ? address.p : "", '\n', address.n) == NULL);
    path = address_quote(a, address);
    FUZZ_CHECK(str_eq(address_unquote(a, path), address));
    if (!strict)
        return; /* tolerated dots need not survive strict reading */
    path = arena_printf(a, "<" STR_FMT ">", STR_ARG(path));
    if (memchr(address.p ? address.p : "", '\0', address.n) == NULL) {
        FUZZ_CHECK(address_parse_path(path, true, utf8, a, &again, &nothing, &why) == RC_OK);
        FUZZ_CHECK(str_eq(again, address) && nothing.n == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = {(const char *)data, size};
    AUTO_ARENA a = arena_new(0);
    struct str user, extension;

    check(in, true, true);
    check(in, true, false);
    check(in, false, true);
    check(in, false, false);
    if (address_extension(in, STR("+-"), &user, &extension))
        FUZZ_CHECK(user.n + 1 + extension.n == in.n && user.n > 0);
    (void)address_strip_extension(a, in, STR("+"), &extension);
    for (long tokens = 1; tokens < 8; tokens++)
        FUZZ_CHECK(address_list_limit(address_list_limit(in, tokens), tokens).n ==
                   address_list_limit(in, tokens).n);
    return 0;
}
