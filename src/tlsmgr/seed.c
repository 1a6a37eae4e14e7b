/*
 * Random bytes. The kernel's generator is what OpenSSL and everything here rests on; an outside
 * source (tls_random_source) and what the last process left behind are stirred in, and cannot make
 * it worse.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#include "tlsmgr/tlsmgr.h"
#include "util/file.h"
#include "util/memory.h"

#ifdef HAVE_OPENSSL
#    include <openssl/rand.h>
static void stir(const void *bytes, size_t n)
{
    RAND_add(bytes, (int)n, 0);
}
bool seed_bytes(char *bytes, size_t n)
{
    return RAND_bytes((unsigned char *)bytes, (int)n) == 1;
}
#else
static void stir(const void *bytes, size_t n)
{
    (void)bytes, (void)n;
}
bool seed_bytes(char *bytes, size_t n)
{
    return getrandom(bytes, n, 0) == (ssize_t)n;
}
#endif

enum { AT_ONCE = 256 };

/* dev:/path stays open, file:/path as well: privileges are about to go. */
void seed_open(struct tlsmgr *m)
{
    const struct config *c = m->env->config;
    struct str source = c->tls_random_source, path = source;
    struct str kind = str_cut(&path, ':');

    m->seed.source = -1;
    m->seed.exchange =
        memory_text(c->tls_random_exchange_name.n ? c->tls_random_exchange_name.p : "");
    if (source.n == 0)
        return;
    if (path.p == NULL || (!str_eq(kind, STR("dev")) && !str_eq(kind, STR("file")))) {
        log_warning(&m->env->log,
                    "tls_random_source = " STR_FMT ": use dev:/path or file:/path; going on "
                    "without, the kernel's generator is enough",
                    STR_ARG(source));
        return;
    }
    m->seed.source = open(path.p, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (m->seed.source < 0)
        log_warning(&m->env->log,
                    "tls_random_source: open " STR_FMT
                    ": %m; going on without, the kernel's generator is enough",
                    STR_ARG(path));
}

void seed_more(struct tlsmgr *m)
{
    char bytes[AT_ONCE];
    long wanted = m->env->config->tls_random_bytes;
    ssize_t got = -1;

    if (m->seed.source >= 0)
        got = read(m->seed.source, bytes, (size_t)(wanted < AT_ONCE ? wanted : AT_ONCE));
    if (got == 0 && lseek(m->seed.source, 0, SEEK_SET) == 0)
        got = read(m->seed.source, bytes, (size_t)(wanted < AT_ONCE ? wanted : AT_ONCE));
    if (got > 0)
        stir(bytes, (size_t)got);
}

void seed_load(struct tlsmgr *m)
{
    AUTO_ARENA a = arena_new(2 * AT_ONCE);
    struct str text;
    struct why why;

    if (m->seed.exchange[0] && file_read(m->seed.exchange, 4096, a, &text, &why) == RC_OK)
        stir(text.p, text.n);
    seed_save(m);
}

void seed_save(struct tlsmgr *m)
{
    char bytes[AT_ONCE];
    struct why why;

    if (m->seed.exchange[0] == 0 || !seed_bytes(bytes, sizeof bytes))
        return;
    if (file_replace(m->seed.exchange, (struct str){bytes, sizeof bytes}, 0600, &why) != RC_OK)
        log_warning(&m->env->log, "tls_random_exchange_name: %s", why.text);
}
