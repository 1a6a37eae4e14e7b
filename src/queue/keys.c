/* The keys of queue_encryption_key. */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"
#include "queue/seal.h"
#include "util/file.h"
#include "util/memory.h"

enum { FILE_BYTES_MAX = 64 * 1024 };

static const char advice[] = "make a key with: openssl rand -hex 32";

static int hex_digit(char c)
{
    return is_digit(c)                                ? c - '0'
           : to_lower(c) >= 'a' && to_lower(c) <= 'f' ? to_lower(c) - 'a' + 10
                                                      : -1;
}

static bool take_key(struct str text, struct queue_key *key)
{
    if (text.n != 2 * QUEUE_KEY_BYTES && text.n != QUEUE_KEY_BYTES)
        return false;
    *key = (struct queue_key){.n = text.n / 2};
    for (size_t i = 0; i < text.n; i++) {
        int digit = hex_digit(text.p[i]);
        if (digit < 0)
            return false;
        key->bytes[i / 2] = (unsigned char)(key->bytes[i / 2] << 4 | digit);
    }
    return true;
}

static enum rc take_lines(struct queue_keys *k, struct str text, struct why *why)
{
    for (int number = 1; text.p; number++) {
        struct str line = str_trim(str_cut(&text, '\n'));
        if (line.n == 0 || line.p[0] == '#')
            continue;
        if (str_eq(line, STR("off")) && k->n == 0 && !k->is_off) {
            k->is_off = true;
            continue;
        }
        if (k->n == QUEUE_KEYS_MAX)
            return FAIL(why, RC_CONFIG,
                        "queue_encryption_key: %s: more than %d keys; remove those that no queue "
                        "file needs any more",
                        k->path, QUEUE_KEYS_MAX);
        if (!take_key(line, &k->keys[k->n]))
            return FAIL(why, RC_CONFIG,
                        "queue_encryption_key: %s, line %d: a key is 64 (or 32) hexadecimal digits "
                        "and nothing else; %s",
                        k->path, number, advice);
        k->n++;
    }
    if (k->n == 0)
        return FAIL(why, RC_CONFIG, "queue_encryption_key: %s: there is no key in it; %s", k->path,
                    advice);
    return RC_OK;
}

enum rc queue_keys_parse(struct str text, const char *path, struct queue_keys **out,
                         struct why *why)
{
    struct queue_keys *k = NEW(struct queue_keys);
    enum rc rc;

    k->path = memory_text(path);
    rc = take_lines(k, text, why);
    if (rc == RC_OK)
        rc = seal_try(k, why);
    if (rc == RC_OK)
        *out = k;
    else
        queue_keys_free(k);
    return rc;
}

void queue_keys_free(struct queue_keys *k)
{
    if (k == NULL)
        return;
    explicit_bzero(k->keys, sizeof k->keys);
    free(k->path);
    free(k);
}

/* Who can read this file reads all mail: nobody but root and the owner of the mail system. */
static enum rc check_file(int fd, const char *path, const char *mail_owner, struct why *why)
{
    const struct passwd *owner = getpwnam(mail_owner);
    struct stat st = {0};

    TRY(file_stat(fd, &st, why));
    if (!S_ISREG(st.st_mode))
        return FAIL(why, RC_CONFIG, "queue_encryption_key: %s is no regular file", path);
    if (st.st_mode & 077)
        return FAIL(why, RC_CONFIG,
                    "queue_encryption_key: %s: others than its owner may use it (mode %03o); run: "
                    "chmod 600 %s",
                    path, st.st_mode & 0777, path);
    if (st.st_uid != 0 && st.st_uid != geteuid() && (owner == NULL || st.st_uid != owner->pw_uid))
        return FAIL(why, RC_CONFIG,
                    "queue_encryption_key: %s belongs to uid %u, who is neither root nor %s; run: "
                    "chown root %s",
                    path, st.st_uid, mail_owner, path);
    return RC_OK;
}

static enum rc read_file(const struct config *config, struct queue_keys **out, struct why *why)
{
    const char *path = config->queue_encryption_key.p;
    AUTO_ARENA a = arena_new(512);
    struct str text = STR_NONE;
    enum rc rc;

    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return FAIL(why, RC_CONFIG,
                    "queue_encryption_key: open %s: %m; without its key, encrypted mail in the "
                    "queue cannot be read",
                    path);
    TRY(check_file(fd, path, config->mail_owner.p, why));
    TRY(fd_read_all(fd, FILE_BYTES_MAX, a, &text, why));
    rc = queue_keys_parse(text, path, out, why);
    explicit_bzero((char *)text.p, text.n);
    return rc;
}

enum rc queue_keys_open(const struct config *config, struct queue_keys **out, struct why *why)
{
    struct str path = config->queue_encryption_key;

    *out = NULL;
    if (path.n == 0)
        return RC_OK;
    if (path.p[0] != '/')
        return FAIL(why, RC_CONFIG, "queue_encryption_key: " STR_FMT " is no absolute path name",
                    STR_ARG(path));
#ifndef HAVE_OPENSSL
    return FAIL(why, RC_CONFIG,
                "queue_encryption_key: this build has no OpenSSL; make one with libssl-dev");
#endif
    return read_file(config, out, why);
}
