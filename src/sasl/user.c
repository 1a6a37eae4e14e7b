#include "sasl/user.h"

#include <stdlib.h>
#include <sys/random.h>
#ifdef HAVE_CRYPT
#    include <crypt.h>
#endif

#include "sasl/login.h"
#include "sasl/prep.h"
#include "util/memory.h"

enum { SALT_BYTES = 16 };

/* As costly as real ones are. */
#define NOBODY "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$"

static struct str skip_scheme(struct str text)
{
    ssize_t end = text.n && text.p[0] == '{' ? str_index(text, '}') : -1;

    if (end > 0 && str_has_suffix_nocase(str_head(text, (size_t)end), STR("CRYPT")))
        return str_from(text, (size_t)end + 1);
    return text;
}

enum rc user_entry_parse(struct str text, struct user_entry *out, struct why *why)
{
    struct user_entry e = {0};
    struct str word;

    while (str_token(&text, " \t", &word)) {
        if (str_has_prefix_nocase(word, STR(SCRAM_NAME "$")) && !e.has_scram) {
            TRY(scram_verifier_parse(word, &e.scram, why));
            e.has_scram = true;
        } else if (e.hash.n == 0) {
            e.hash = skip_scheme(word);
        } else {
            return FAIL(why, RC_PERM, "entry with more than a password hash and a verifier");
        }
    }
    if (e.hash.n == 0 && !e.has_scram)
        return FAIL(why, RC_PERM, "entry without a password hash");
    *out = e;
    return RC_OK;
}

#ifdef HAVE_CRYPT
static enum rc entry_of(struct str password, struct arena *a, struct str *text, struct why *why)
{
    char setting[CRYPT_GENSALT_OUTPUT_SIZE], salt[SALT_BYTES];
    struct crypt_data *data;
    struct scram_verifier v;
    struct str hash;
    char *phrase;

    if (password.n == 0 || password.n > USER_PASSWORD_MAX || memchr(password.p, '\0', password.n))
        return FAIL(why, RC_PERM, "a password has 1 to %d bytes, and no NUL", USER_PASSWORD_MAX);
    if (crypt_gensalt_rn("$y$", 0, NULL, 0, setting, sizeof setting) == NULL)
        return FAIL(why, RC_CONFIG, "crypt(3) has no yescrypt: %m");
    if (getrandom(salt, sizeof salt, 0) != sizeof salt)
        return FAIL(why, RC_TEMP, "random numbers: %m");
    data = NEW(struct crypt_data);
    phrase = arena_text(a, password);
    hash = arena_copy(a, str_of(crypt_rn(phrase, setting, data, sizeof *data)));
    login_forget(phrase, password.n);
    login_forget(data, sizeof *data);
    free(data);
    if (hash.n == 0)
        return FAIL(why, RC_CONFIG, "crypt(3): %m");
    if (scram_verifier_make(password, (struct str){salt, sizeof salt}, USER_ITERATIONS, &v, NULL) ==
        RC_OK) {
        struct str verifier = scram_verifier_text(&v, a);
        hash = arena_printf(a, STR_FMT " " STR_FMT, STR_ARG(hash), STR_ARG(verifier));
    }
    *text = hash;
    return RC_OK;
}

enum rc user_entry_make(struct str password, struct arena *a, struct str *text, struct why *why)
{
    struct str p = prep_password(password, a);
    enum rc rc = entry_of(p, a, text, why);

    if (p.p != password.p)
        login_forget((char *)p.p, p.n);
    return rc;
}

static bool is_locked(struct str hash)
{
    return hash.n == 0 || hash.p[0] == '!' || hash.p[0] == '*';
}

static enum rc check(const struct user_entry *e, struct str password, struct why *why)
{
    AUTO_ARENA a = arena_new(2048);
    bool real = e && !is_locked(e->hash);
    const char *setting = real ? arena_text(a, e->hash) : NOBODY, *got;
    struct crypt_data *data = NEW(struct crypt_data);
    char *phrase = arena_text(a, str_head(password, USER_PASSWORD_MAX));
    enum rc rc = RC_NONE;

    got = crypt_rn(phrase, setting, data, sizeof *data);
    if (real && got == NULL)
        rc = FAIL(why, RC_CONFIG, "crypt(3) does not know this kind of hash");
    else if (real && password.n <= USER_PASSWORD_MAX && strlen(phrase) == password.n &&
             login_same_secret(str_of(got), e->hash))
        rc = RC_OK;
    login_forget(phrase, password.n < USER_PASSWORD_MAX ? password.n : USER_PASSWORD_MAX);
    login_forget(data, sizeof *data);
    free(data);
    return rc;
}

/* Entries that others have made may hold the password as it was typed. */
enum rc user_password_check(const struct user_entry *e, struct str password, struct why *why)
{
    AUTO_ARENA a = arena_new(1024);
    struct str p = prep_password(password, a);
    enum rc rc = check(e, p, why);

    if (rc == RC_NONE && !str_eq(p, password))
        rc = check(e, password, why);
    if (p.p != password.p)
        login_forget((char *)p.p, p.n);
    return rc;
}
#else
enum rc user_entry_make(struct str password, struct arena *a, struct str *text, struct why *why)
{
    (void)password, (void)a, (void)text;
    return FAIL(why, RC_CONFIG, "this build has no crypt(3)");
}

enum rc user_password_check(const struct user_entry *e, struct str password, struct why *why)
{
    (void)e, (void)password;
    return FAIL(why, RC_CONFIG, "this build has no crypt(3)");
}
#endif
