/*
 * main.cf: whatever the bytes, a configuration loads or the words say why; what postconf -n would
 * write back gives the same values; and an edit changes nothing but what it is told to.
 */
#include "config/config.h"
#include "config/edit.h"
#include "config/main_cf.h"
#include "fuzz.h"

static enum rc keep(void *context, struct str line, int number, struct edit_decision *d,
                    struct why *why)
{
    (void)context;
    (void)line;
    (void)number;
    (void)why;
    d->action = EDIT_KEEP;
    return RC_OK;
}

/* An edit that keeps everything gives the same text, but for a last line end. */
static void check_edit(struct str text)
{
    AUTO_BUF out;
    struct why why;

    buf_init(&out, text.n + 2);
    FUZZ_CHECK(edit_text(text, keep, NULL, &out, &why) == RC_OK);
    FUZZ_CHECK(out.n == text.n || out.n == text.n + 1);
    FUZZ_CHECK(text.n == 0 || memcmp(out.p, text.p, text.n) == 0);
}

static enum rc load(struct str text, struct config **c)
{
    struct config_request request = {.dir = "/nonexistent", .main_cf = &text};
    struct why why = {0};
    enum rc rc = config_load(&request, c, &why);

    FUZZ_CHECK(rc == RC_OK || (rc == RC_CONFIG && why.text[0] != '\0'));
    return rc;
}

/* One line for each setting says the same as the file. */
static void check_rewritten(const struct main_cf *m, struct arena *a, const struct config *c)
{
    AUTO_BUF text;
    struct config *again = NULL;
    struct str one, other;

    (void)a;
    buf_init(&text, 1 << 22);
    for (size_t i = 0; i < m->n; i++)
        buf_addf(&text, STR_FMT " = " STR_FMT "\n", STR_ARG(m->entries[i].name),
                 STR_ARG(m->entries[i].value));
    FUZZ_CHECK(load(buf_str(&text), &again) == RC_OK);
    for (size_t i = 0; i < m->n; i++) {
        enum rc rc = config_get(c, m->entries[i].name, &one);
        FUZZ_CHECK(config_get(again, m->entries[i].name, &other) == rc);
        FUZZ_CHECK(rc != RC_OK || str_eq(one, other) ||
                   str_eq(m->entries[i].name, STR("process_id")));
    }
    config_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = arena_new(size + 1024);
    struct str text = {(const char *)data, size};
    struct main_cf m = {0};
    struct config *c = NULL;
    struct why why = {0};
    enum rc parsed;

    if (memchr(data, 0, size)) /* refused when the file is read */
        return 0;
    check_edit(text);
    parsed = main_cf_parse(text, "main.cf", NULL, NULL, a, &m, &why);
    if (load(text, &c) != RC_OK)
        return 0;
    FUZZ_CHECK(parsed == RC_OK);
    check_rewritten(&m, a, c);
    config_free(c);
    return 0;
}
