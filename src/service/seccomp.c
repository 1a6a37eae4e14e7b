#include "service/seccomp.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined __x86_64__
#    define THIS_ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined __aarch64__
#    define THIS_ARCHITECTURE AUDIT_ARCH_AARCH64
#elif defined __riscv && __riscv_xlen == 64
#    define THIS_ARCHITECTURE AUDIT_ARCH_RISCV64
#elif defined __powerpc64__ && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#    define THIS_ARCHITECTURE AUDIT_ARCH_PPC64LE
#elif defined __s390x__
#    define THIS_ARCHITECTURE AUDIT_ARCH_S390X
#endif

#ifdef THIS_ARCHITECTURE

#    define LOAD(field)                                                                            \
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (__u32)offsetof(struct seccomp_data, field))
#    define ANSWER_EPERM BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)
#    define ANSWER_ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#    define X32_CALLS    0x40000000U /* x86: the same calls once more, under other numbers */

enum rc seccomp_enter(struct why *why)
{
    static const struct sock_filter filter[] = {
        LOAD(arch),   BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, THIS_ARCHITECTURE, 1, 0), ANSWER_EPERM,
        LOAD(nr),     BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_CALLS, 0, 1),         ANSWER_EPERM,
#    define REFUSE(name) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1), ANSWER_EPERM,
#    include "service/seccomp.def"
#    undef REFUSE
        ANSWER_ALLOW,
    };
    const struct sock_fprog program = {sizeof filter / sizeof *filter,
                                       (struct sock_filter *)filter};
    /* SPEC_ALLOW: older kernels would slow the process down for a danger that it has not */
    unsigned flags = SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_SPEC_ALLOW;

    long failed = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);

    if (failed > 0)
        return FAIL(why, RC_TEMP, "seccomp: thread %ld cannot follow", failed);
    if (failed < 0 && errno != ENOSYS && errno != EINVAL)
        return FAIL(why, RC_TEMP, "seccomp: %m; service_sandbox = no turns it off");
    return RC_OK;
}

#else

enum rc seccomp_enter(struct why *why)
{
    (void)why;
    return RC_OK;
}

#endif
