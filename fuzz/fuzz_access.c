/* Restriction lists: any text compiles to a program or is refused with words. */
#include "access/program.h"
#include "config/config.h"
#include "fuzz.h"

static struct access *make_access(void)
{
    static const struct log log = {0};
    struct str main_cf = STR("smtpd_restriction_classes = one, two\none = reject\ntwo = permit\n"
                             "alias_maps =\nlocal_recipient_maps =\ncompatibility_level = 3.11\n");
    struct config_request request = {.dir = "/nonexistent", .main_cf = &main_cf};
    struct access_options o = {.log = &log, .resolver = resolver_new(10)};
    struct config *config = NULL;
    struct access *access = NULL;

    FUZZ_CHECK(config_load(&request, &config, NULL) == RC_OK);
    o.config = config;
    FUZZ_CHECK(rewriter_new(config, &log, &o.rewriter, NULL) == RC_OK);
    FUZZ_CHECK(access_open(&o, &access, NULL) == RC_OK);
    return access;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct access *access;
    const struct program *program = NULL;
    AUTO_ARENA a = arena_new(1024);
    struct why why = {0};

    if (access == NULL)
        access = make_access();
    if (program_compile(access, a, "fuzz", (struct str){(const char *)data, size}, ACCESS_RECIPIENT,
                        false, &program, &why) != RC_OK) {
        FUZZ_CHECK(why.text[0]);
        return 0;
    }
    for (size_t i = 0; i < program->n; i++)
        FUZZ_CHECK(program->steps[i].run && program->steps[i].name.n);
    return 0;
}
