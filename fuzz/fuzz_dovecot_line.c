/* Lines of an authentication server: nothing of a line gets out of its own field. */
#include "fuzz.h"
#include "sasl/dovecot_line.h"

/* What was unescaped is written, and read again, as the same. */
static void check_text(struct str text, struct arena *a)
{
    struct dovecot_line again = {0};
    struct buf b;

    if (text.n == 0)
        return;
    buf_init(&b, text.n * 2 + 100);
    buf_add(&b, STR("OK\t1"));
    dovecot_put(&b, "user", text);
    FUZZ_CHECK(!b.over);
    FUZZ_CHECK(memchr(b.p, '\n', b.n) == NULL && memchr(b.p, '\0', b.n) == NULL);
    FUZZ_CHECK(dovecot_line_parse(arena_copy(a, buf_str(&b)), a, &again, NULL) == RC_OK);
    FUZZ_CHECK(str_eq(again.user, text) && again.id == 1);
    buf_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = arena_new(1024);
    struct dovecot_line l = {0};

    if (dovecot_line_parse((struct str){(const char *)data, size}, a, &l, NULL) != RC_OK)
        return 0;
    FUZZ_CHECK(l.word <= DOVECOT_UNKNOWN);
    FUZZ_CHECK(memchr(l.name.p ? l.name.p : "", '\t', l.name.n) == NULL);
    check_text(l.user, a);
    check_text(l.reason, a);
    return 0;
}
