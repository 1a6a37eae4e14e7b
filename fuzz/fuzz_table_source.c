/* Text sources of tables: what is taken as an entry is taken again from the line we would write. */
#include "fuzz.h"
#include "table/source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = arena_new(4096);
    struct str key, value, key2, value2, line;
    struct source s;

    source_init(&s, (struct str){(const char *)data, size});
    while (source_entry(&s, "source", true, NULL, a, &key, &value)) {
        FUZZ_CHECK(key.n > 0 && value.n > 0 && str_is_utf8(key) && str_is_utf8(value));
        FUZZ_CHECK(s.first_line > 0 && s.first_line <= s.line);
        line = arena_join(a, arena_join(a, key, STR(" ")), value);
        FUZZ_CHECK(source_split(line, &key2, &value2, NULL) == RC_OK);
        FUZZ_CHECK(str_eq(key, key2) && str_eq(value, value2));
    }
    return 0;
}
