/* Restriction lists: any text compiles to a program or is refused with words. */
#include "access.h"
#include "access/program.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct access *access;
    const struct program *program = NULL;
    AUTO_ARENA a = arena_new(1024);
    struct why why = {0};

    if (access == NULL)
        access = make_access(STR("smtpd_restriction_classes = one, two\n"
                                 "one = reject\ntwo = permit\n" FUZZ_MAIN_CF));
    if (program_compile(access, a, "fuzz", (struct str){(const char *)data, size}, ACCESS_RECIPIENT,
                        false, &program, &why) != RC_OK) {
        FUZZ_CHECK(why.text[0]);
        return 0;
    }
    for (size_t i = 0; i < program->n; i++)
        FUZZ_CHECK(program->steps[i].run && program->steps[i].name.n);
    return 0;
}
