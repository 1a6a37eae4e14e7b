/* Alias sources: an entry that was brought into style is the same entry when it is read again. */
#include "fuzz.h"
#include "postalias/alias_source.c"

/* Alike but for blanks: "| |" becomes "||", which is another word. */
static bool same_words(struct str x, struct str y)
{
    size_t i = 0, j = 0;

    for (;;) {
        while (i < x.n && x.p[i] == ' ')
            i++;
        while (j < y.n && y.p[j] == ' ')
            j++;
        if (i == x.n || j == y.n)
            return i == x.n && j == y.n;
        if (x.p[i++] != y.p[j++])
            return false;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = arena_new(4096);
    struct str key, value, key2, value2, line;
    struct source s, again;

    source_init(&s, (struct str){(const char *)data, size});
    while (alias_entry(&s, "source", true, NULL, a, &key, &value)) {
        FUZZ_CHECK(key.n > 0 && value.n > 0);
        if (str_index_any(key, "\r\n\v\f") >= 0 || str_index_any(value, "\r\n\v\f(") >= 0)
            continue; /* quoted white space, and comments that do not end, need not last */
        line = arena_join(a, arena_join(a, key, STR(": ")), value);
        source_init(&again, line);
        if (!alias_entry(&again, "line", true, NULL, a, &key2, &value2))
            continue;
        FUZZ_CHECK(same_words(value2, value));
    }
    return 0;
}
