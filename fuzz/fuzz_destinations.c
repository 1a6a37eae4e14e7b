/* Aliases, .forward and :include: files: what comes out is usable and stays within the text. */
#include "fuzz.h"
#include "local/destinations.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    struct arena *a = arena_new(4096);
    struct destination *list = NULL;
    struct why why = {0};
    size_t n = 0;

    if (destinations_parse(text, a, &list, &n, &why) == RC_OK) {
        FUZZ_CHECK(n <= size);
        for (size_t i = 0; i < n; i++) {
            FUZZ_CHECK(list[i].text.n > 0 && list[i].text.n <= size);
            FUZZ_CHECK(list[i].kind != DESTINATION_FILE || list[i].text.p[0] == '/');
        }
    } else {
        FUZZ_CHECK(why.text[0] != '\0');
    }
    arena_free(a);
    return 0;
}
