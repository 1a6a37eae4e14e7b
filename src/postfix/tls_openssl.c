#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "postfix/tls.h"
#include "util/file.h"

enum { OUTPUT_MAX = 64 * 1024, ARGUMENTS_MAX = 32, LIFETIME_DAYS = 36525 };

static void collect(int fd, struct buf *out)
{
    char *room;
    ssize_t n;

    while ((room = buf_room(out, 1024)) != NULL && (n = read(fd, room, 1024)) > 0)
        out->n += (size_t)n;
}

static enum rc spawn_openssl(const struct postfix *p, char *const *argv, struct buf *out,
                             int *status, struct why *why)
{
    posix_spawn_file_actions_t actions;
    int fds[2] = {-1, -1}, error;
    pid_t pid = -1;

    if (out && pipe2(fds, O_CLOEXEC) < 0)
        return FAIL(why, RC_TEMP, "pipe: %m");
    posix_spawn_file_actions_init(&actions);
    if (out)
        posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
    else
        fflush(stdout);
    error = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (out) {
        close(fds[1]);
        if (error == 0)
            collect(fds[0], out);
        close(fds[0]);
    }
    if (error) {
        errno = error;
        return FAIL(why, RC_CONFIG, "openssl_path: run %s: %m; install it, or set openssl_path",
                    p->config->openssl_path.p);
    }
    *status = program_wait(pid);
    return RC_OK;
}

/* $openssl_path with these arguments (the last NULL). out: what it prints, NULL: to our standard
   output. */
__attribute__((sentinel)) static enum rc openssl_run(const struct postfix *p, struct buf *out,
                                                     struct why *why, ...)
{
    char *argv[ARGUMENTS_MAX] = {(char *)p->config->openssl_path.p};
    size_t n = 1;
    va_list words;
    int status = 0;

    va_start(words, why);
    while (n < ARGUMENTS_MAX - 1 && (argv[n] = va_arg(words, char *)) != NULL)
        n++;
    va_end(words);
    argv[n] = NULL;
    if (out)
        buf_init(out, OUTPUT_MAX);
    TRY(spawn_openssl(p, argv, out, &status, why));
    if (status)
        return FAIL(why, RC_CONFIG, "%s %s failed, see above", argv[0], argv[1]);
    return RC_OK;
}

enum rc make_key(const struct postfix *p, const struct tls_request *r, const char *path,
                 struct why *why)
{
    const char *random = r->random_source ? r->random_source : "/dev/urandom";
    const char *curve = r->bits == 384 ? "secp384r1" : r->bits == 521 ? "secp521r1" : "prime256v1";
    mode_t mask = umask(077);
    char bits[16];
    enum rc rc;

    snprintf(bits, sizeof bits, "%ld", r->bits);
    if (str_has_prefix(str_of(random), STR("dev:")))
        random += 4;
    if (r->algorithm == TLS_RSA)
        rc = openssl_run(p, NULL, why, "genrsa", "-rand", random, "-out", path, bits, (char *)NULL);
    else
        rc = openssl_run(p, NULL, why, "ecparam", "-rand", random, "-genkey", "-name", curve,
                         "-noout", "-out", path, (char *)NULL);
    umask(mask);
    return rc;
}

static const char *first_host(const struct postfix *p, const struct tls_request *r)
{
    return r->n_words ? r->words[0] : p->config->myhostname.p;
}

static const char *alternatives(const struct postfix *p, const struct tls_request *r,
                                struct arena *a)
{
    struct str text = arena_printf(a, "subjectAltName=DNS:%s", first_host(p, r));

    for (int i = 1; i < r->n_words; i++)
        text = arena_printf(a, STR_FMT ",DNS:%s", STR_ARG(text), r->words[i]);
    return text.p;
}

enum rc make_certificate(const struct postfix *p, const struct tls_request *r, const char *key,
                         const char *path, struct arena *a, struct why *why)
{
    char days[16];

    snprintf(days, sizeof days, "%d", LIFETIME_DAYS);
    TRY(openssl_run(p, NULL, why, "req", "-new", "-x509", "-sha256", "-key", key, "-subj",
                    arena_printf(a, "/CN=%s", first_host(p, r)).p, "-addext", alternatives(p, r, a),
                    "-days", days, "-out", path, (char *)NULL));
    return chmod(path, 0644) == 0 ? RC_OK : FAIL(why, RC_CONFIG, "chmod %s: %m", path);
}

enum rc print_request(const struct postfix *p, const struct tls_request *r, const char *key,
                      struct arena *a, struct why *why)
{
    return openssl_run(p, NULL, why, "req", "-new", "-sha256", "-key", key, "-subj",
                       arena_printf(a, "/CN=%s", first_host(p, r)).p, "-addext",
                       alternatives(p, r, a), (char *)NULL);
}

enum rc key_digest(const struct postfix *p, const char *key, struct arena *a, struct str *hex,
                   struct why *why)
{
    char path[] = "/tmp/postfix-tls.XXXXXX";
    int fd = mkstemp(path);
    AUTO_BUF out = {0};
    enum rc rc;
    char *text;

    if (fd < 0)
        return FAIL(why, RC_TEMP, "make %s: %m", path);
    close(fd);
    rc = openssl_run(p, NULL, why, "pkey", "-in", key, "-pubout", "-outform", "DER", "-out", path,
                     (char *)NULL);
    if (rc == RC_OK)
        rc = openssl_run(p, &out, why, "dgst", "-sha256", "-r", path, (char *)NULL);
    unlink(path);
    if (rc != RC_OK)
        return rc;
    if (out.n < 64)
        return FAIL(why, RC_CONFIG, "openssl dgst gave no digest");
    text = arena_text(a, str_head(buf_str(&out), 64));
    str_upper_bytes(text, 64);
    *hex = str_of(text);
    return RC_OK;
}

enum rc certificate_algorithm(const struct postfix *p, const char *path,
                              enum tls_algorithm *algorithm, struct why *why)
{
    AUTO_BUF out = {0};
    ssize_t at;

    TRY(openssl_run(p, &out, why, "x509", "-in", path, "-noout", "-text", (char *)NULL));
    at = str_find(buf_str(&out), STR("Public Key Algorithm: "));
    if (at < 0)
        return FAIL(why, RC_CONFIG, "%s: no certificate that openssl understands", path);
    *algorithm =
        str_has_prefix(str_from(buf_str(&out), (size_t)at + 22), STR("rsa")) ? TLS_RSA : TLS_ECDSA;
    return RC_OK;
}
