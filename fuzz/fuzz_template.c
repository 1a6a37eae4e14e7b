/* bounce_template_file: what is accepted and printed is accepted again, and means the same. */
#include "deliver/template.h"
#include "fuzz.h"

static void fill(struct templates *t)
{
    for (int k = 0; k < TEMPLATE_KINDS; k++)
        t->of[k] = (struct template){STR("us-ascii"), STR("f"), STR("s"), STR("p"), STR("x\n")};
}

/* The end marker that printing uses may stand in the text. */
static bool holds_marker(const struct templates *t)
{
    for (int k = 0; k < TEMPLATE_KINDS; k++) {
        struct str rest = t->of[k].body;
        while (rest.n)
            if (str_eq(str_rtrim(str_cut(&rest, '\n')), STR("EOF")))
                return true;
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    struct templates t, again;
    struct why why = {0};
    AUTO_ARENA a = arena_new(4096);
    AUTO_BUF warnings;
    AUTO_BUF printed;

    fill(&t);
    fill(&again);
    buf_init(&warnings, 16 * 1024 * 1024);
    buf_init(&printed, 16 * 1024 * 1024);
    if (templates_parse(arena_join(a, text, STR("\n")), "file", &t, &warnings, &why) != RC_OK) {
        FUZZ_CHECK(why.text[0] != '\0');
        return 0;
    }
    buf_reset(&warnings);
    templates_print(&printed, &t);
    if (!holds_marker(&t)) {
        FUZZ_CHECK(templates_parse(buf_str(&printed), "printed", &again, &warnings, &why) == RC_OK);
        FUZZ_CHECK(warnings.n == 0);
        for (int k = 0; k < TEMPLATE_KINDS; k++) {
            FUZZ_CHECK(str_eq(t.of[k].body, again.of[k].body));
            FUZZ_CHECK(str_eq(t.of[k].subject, again.of[k].subject));
            FUZZ_CHECK(str_eq(t.of[k].charset, again.of[k].charset));
        }
    }
    return 0;
}
