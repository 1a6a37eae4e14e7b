/* master.cf: an entry that is accepted and written back is the same entry, in both layouts. */
#include "config/edit.h"
#include "fuzz.h"

static bool same_args(const struct master_entry *x, const struct master_entry *y)
{
    if (x->overrides_n != y->overrides_n)
        return false;
    for (size_t i = 0; i < x->overrides_n; i++)
        if (!str_eq(x->overrides[i].name, y->overrides[i].name) ||
            !str_eq(x->overrides[i].value, y->overrides[i].value))
            return false;
    if (x->args_n - x->options_n != y->args_n - y->options_n)
        return false;
    for (size_t i = 0; i < x->args_n - x->options_n; i++)
        if (!str_eq(x->args[x->options_n + i], y->args[y->options_n + i]))
            return false;
    return true;
}

static void check_entry(const struct master_entry *e, bool fold)
{
    AUTO_ARENA a = arena_new(1024);
    AUTO_BUF text;
    struct master_cf again = {0};
    struct why why = {0};

    buf_init(&text, 1 << 22);
    master_entry_format(e, fold, &text);
    buf_addc(&text, '\n');
    FUZZ_CHECK(master_cf_parse(buf_str(&text), "again", NULL, a, &again, &why) == RC_OK);
    FUZZ_CHECK(again.n == 1);
    for (int i = 0; i < MASTER_FIELDS; i++)
        FUZZ_CHECK(str_eq(e->fields[i], again.entries[0].fields[i]));
    FUZZ_CHECK(same_args(e, &again.entries[0]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = arena_new(size + 1024);
    struct str text = {(const char *)data, size};
    struct master_reading how = {.keep_replaced = true};
    struct master_cf m = {0};
    struct why why = {0};

    if (memchr(data, 0, size)) /* refused when the file is read */
        return 0;
    if (master_cf_parse(text, "master.cf", &how, a, &m, &why) != RC_OK) {
        FUZZ_CHECK(why.text[0] != '\0');
        return 0;
    }
    for (size_t i = 0; i < m.n; i++) {
        check_entry(&m.entries[i], false);
        check_entry(&m.entries[i], true);
    }
    return 0;
}
