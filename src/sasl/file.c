/*
 * The embedded back end: users in a lookup table, smtpd_sasl_path = type:name.
 *
 * PLAIN, LOGIN and EXTERNAL; SCRAM-SHA-256 is offered where every entry is known to hold its
 * verifier. A name is looked up in lower case, then with "@" and the realm behind it when it has no
 * domain; what was found is the name of the user. Unknown users cost as much time as known ones,
 * and only as many passwords are checked at once as there are processors, for each check needs
 * megabytes.
 */
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "config/config.h"
#include "sasl/backends.h"
#include "sasl/prep.h"
#include "sasl/user.h"
#include "table/table.h"
#include "util/buf.h"
#include "util/clock.h"

enum {
    NAME_MAX_BYTES = 255,
    MESSAGE_MAX = 16384,
    LOOK_AT = 1000, /* entries, for verifiers */
    WAIT_MS = 30000,
    NONCE_BYTES = 18,
    SECRET_BYTES = 32,
};

struct file {
    struct arena *arena;
    const struct log *log;
    bool utf8;
    struct str path, realm;
    struct table *users;
    bool offers_scram;
    char secret[SECRET_BYTES]; /* for those who do not exist */
    long timeout_ms;

    pthread_mutex_t lock;
    pthread_cond_t freed;
    long free_checks; /* lock */
};

struct exchange;
typedef enum login_status take_response(struct exchange *x, struct str message,
                                        struct login_reply *reply);

struct exchange {
    struct file *file;
    struct arena *arena;
    take_response *next;
    const struct login_peer *peer;
    bool binds; /* SCRAM-SHA-256-PLUS */
    struct str certificate;
    struct str username;
    bool exists;
    struct user_entry entry;
    struct scram scram;
};

/* ---- users ---- */

static enum rc look_up(struct file *f, struct str name, struct arena *a, struct str *found,
                       struct str *text, struct why *why)
{
    struct str folded = fold_case(a, name, f->utf8);
    enum rc rc = table_get(f->users, folded, a, text, why);

    if (rc == RC_NONE && f->realm.n && str_index(folded, '@') < 0) {
        folded = arena_printf(a, STR_FMT "@" STR_FMT, STR_ARG(folded), STR_ARG(f->realm));
        rc = table_get(f->users, folded, a, text, why);
    }
    *found = folded;
    return rc;
}

/* RC_OK: x->exists tells whether there is such a user. */
static enum rc find_user(struct exchange *x, struct str name, struct login_reply *reply)
{
    struct str found, text;
    struct why why;

    x->username = reply->username = arena_copy(x->arena, name);
    if (name.n == 0 || name.n > NAME_MAX_BYTES || (x->file->utf8 && !str_is_utf8(name)))
        return RC_OK;
    switch (look_up(x->file, name, x->arena, &found, &text, &why)) {
    case RC_OK: break;
    case RC_NONE: return RC_OK;
    default:
        log_warning(x->file->log, "smtpd_sasl_path = " STR_FMT ": %s", STR_ARG(x->file->path),
                    why.text);
        reply->reason = STR(LOGIN_SERVER_LOST);
        reply->detail = STR("user table unavailable");
        return RC_TEMP;
    }
    x->username = reply->username = found;
    if (user_entry_parse(text, &x->entry, &why) == RC_OK)
        x->exists = true;
    else
        log_warning(x->file->log, "smtpd_sasl_path = " STR_FMT ": user " STR_FMT ": %s",
                    STR_ARG(x->file->path), STR_ARG(found), why.text);
    return RC_OK;
}

static bool take_turn(struct file *f)
{
    long deadline_ms = clock_ms() + f->timeout_ms;
    bool mine;

    pthread_mutex_lock(&f->lock);
    for (long left; f->free_checks == 0 && (left = deadline_ms - clock_ms()) > 0;)
        clock_cond_wait(&f->freed, &f->lock, left);
    mine = f->free_checks > 0;
    if (mine)
        f->free_checks--;
    pthread_mutex_unlock(&f->lock);
    return mine;
}

static void give_turn(struct file *f)
{
    pthread_mutex_lock(&f->lock);
    f->free_checks++;
    pthread_cond_signal(&f->freed);
    pthread_mutex_unlock(&f->lock);
}

static enum login_status check_password(struct exchange *x, struct str password,
                                        struct login_reply *reply)
{
    struct file *f = x->file;
    struct why why;
    enum rc rc;

    reply->username = x->username;
    if (!take_turn(f)) {
        reply->reason = STR(LOGIN_SERVER_LOST);
        reply->detail = STR("too many logins at once");
        return LOGIN_TROUBLE;
    }
    rc = user_password_check(x->exists ? &x->entry : NULL, password, &why);
    give_turn(f);
    if (rc == RC_CONFIG)
        log_warning(f->log, "smtpd_sasl_path = " STR_FMT ": user " STR_FMT ": %s", STR_ARG(f->path),
                    STR_ARG(x->username), why.text);
    return rc == RC_OK ? LOGIN_OK : LOGIN_FAILED;
}

/* ---- mechanisms: each function takes one response ---- */

static enum login_status ask_for(struct exchange *x, struct str text, take_response *next,
                                 struct login_reply *reply)
{
    reply->text = login_encode(x->arena, text);
    x->next = next;
    return LOGIN_MORE;
}

/* RFC 4616: authzid NUL authcid NUL password. Nobody may act for somebody else. */
static enum login_status plain(struct exchange *x, struct str message, struct login_reply *reply)
{
    struct str password = message, authzid = str_cut(&password, '\0'),
               authcid = str_cut(&password, '\0');

    if (password.p == NULL || str_index(password, '\0') >= 0)
        return LOGIN_MALFORMED;
    if (find_user(x, authcid, reply) != RC_OK)
        return LOGIN_TROUBLE;
    if (authzid.n && !str_eq(authzid, authcid) && !str_eq_nocase(authzid, x->username))
        x->exists = false;
    return check_password(x, password, reply);
}

static enum login_status login_password(struct exchange *x, struct str message,
                                        struct login_reply *reply)
{
    return check_password(x, message, reply);
}

static enum login_status login_name(struct exchange *x, struct str message,
                                    struct login_reply *reply)
{
    if (find_user(x, message, reply) != RC_OK)
        return LOGIN_TROUBLE;
    return ask_for(x, STR("Password:"), login_password, reply);
}

/* RFC 4422 A: TLS has told who it is; the message may name the same user. */
static enum login_status external(struct exchange *x, struct str message, struct login_reply *reply)
{
    if (x->certificate.p == NULL)
        return LOGIN_FAILED;
    if (find_user(x, x->certificate, reply) != RC_OK)
        return LOGIN_TROUBLE;
    if (message.n && !str_eq_nocase(message, x->certificate) &&
        !str_eq_nocase(message, x->username))
        return LOGIN_FAILED;
    return x->exists ? LOGIN_OK : LOGIN_FAILED;
}

static enum login_status scram_end(struct exchange *x, struct str message,
                                   struct login_reply *reply)
{
    reply->username = x->username;
    return message.n == 0 ? LOGIN_OK : LOGIN_MALFORMED;
}

static enum login_status scram_proof(struct exchange *x, struct str message,
                                     struct login_reply *reply)
{
    struct str answer;
    enum rc rc = scram_final(&x->scram, &x->entry.scram, message, &answer, NULL);

    reply->username = x->username;
    if (rc == RC_PERM)
        return LOGIN_MALFORMED;
    if (rc != RC_OK || !x->exists)
        return LOGIN_FAILED;
    return ask_for(x, answer, scram_end, reply);
}

/* RFC 5802 6. A client that thinks we cannot bind was told so by somebody in between. */
static bool binding_is_right(struct exchange *x)
{
    struct scram *s = &x->scram;

    if (!x->binds)
        return s->binding.p == NULL && !(s->thinks_unsupported && x->peer->channel);
    return s->binding.p &&
           x->peer->channel(x->peer->channel_session, arena_text(x->arena, s->binding), x->arena,
                            &s->channel) == RC_OK;
}

static enum login_status scram_start(struct exchange *x, struct str message,
                                     struct login_reply *reply)
{
    struct file *f = x->file;
    char random[NONCE_BYTES];
    struct str nonce, id;

    x->scram.arena = x->arena;
    if (scram_first(&x->scram, message, NULL) != RC_OK)
        return LOGIN_MALFORMED;
    if (!binding_is_right(x)) {
        reply->username = x->scram.username;
        reply->reason = STR("channel binding does not fit");
        return LOGIN_FAILED;
    }
    if (find_user(x, x->scram.username, reply) != RC_OK)
        return LOGIN_TROUBLE;
    id = x->scram.authzid;
    if (!x->entry.has_scram ||
        (id.n && !str_eq(id, x->scram.username) && !str_eq_nocase(id, x->username)))
        x->exists = false;
    if ((!x->exists && scram_verifier_fake(x->username, (struct str){f->secret, sizeof f->secret},
                                           USER_ITERATIONS, &x->entry.scram, NULL) != RC_OK) ||
        getrandom(random, sizeof random, 0) != sizeof random)
        return LOGIN_TROUBLE;
    nonce = login_encode(x->arena, (struct str){random, sizeof random});
    return ask_for(x, scram_challenge(&x->scram, &x->entry.scram, nonce), scram_proof, reply);
}

static enum login_status scram_plus_start(struct exchange *x, struct str message,
                                          struct login_reply *reply)
{
    x->binds = true;
    return scram_start(x, message, reply);
}

static const struct mechanism {
    const char *name;
    take_response *first;
    const char *prompt; /* when there is no initial response */
} mechanisms[] = {
    {SCRAM_PLUS_NAME, scram_plus_start, ""}, {SCRAM_NAME, scram_start, ""}, {"PLAIN", plain, ""},
    {"LOGIN", login_name, "Username:"},      {"EXTERNAL", external, ""},
};

enum { MECHANISMS = sizeof mechanisms / sizeof *mechanisms };

static bool is_offered(const struct file *f, const struct mechanism *m,
                       const struct login_peer *peer)
{
    if ((m->first == scram_start || m->first == scram_plus_start) && !f->offers_scram)
        return false;
    if (m->first == scram_plus_start && peer->channel == NULL)
        return false;
    if (m->first == external && peer->certificate.p == NULL)
        return false;
    return login_mechanism_is_safe(str_of(m->name), peer->security);
}

static enum login_status file_step(void *exchange, struct str response, struct login_reply *reply)
{
    struct exchange *x = exchange;
    struct str message;
    enum login_status status;

    if (login_decode(x->arena, response, MESSAGE_MAX, &message, NULL) != RC_OK)
        return LOGIN_MALFORMED;
    status = x->next(x, message, reply);
    if (message.n && x->next != scram_proof) /* what SCRAM keeps is no secret */
        login_forget((char *)message.p, message.n);
    return status;
}

static enum login_status file_begin(void *state, const struct login_peer *peer, struct arena *a,
                                    struct str mechanism, struct str initial, void **exchange,
                                    struct login_reply *reply)
{
    struct file *f = state;
    struct exchange *x = arena_new_of(a, struct exchange);

    x->file = f;
    x->arena = a;
    x->peer = peer;
    x->certificate = peer->certificate;
    *exchange = x;
    for (int i = 0; i < MECHANISMS; i++) {
        const struct mechanism *m = &mechanisms[i];
        if (!str_eq_nocase(mechanism, str_of(m->name)) || !is_offered(f, m, peer))
            continue;
        if (initial.p == NULL)
            return ask_for(x, str_of(m->prompt), m->first, reply);
        x->next = m->first;
        return file_step(x, initial, reply);
    }
    reply->reason = STR("Invalid authentication mechanism");
    return LOGIN_FAILED;
}

static void file_end(void *exchange)
{
    (void)exchange;
}

static enum rc file_mechanisms(void *state, const struct login_peer *peer, struct arena *a,
                               struct str *list, struct why *why)
{
    AUTO_BUF b = {0};

    (void)why;
    buf_init(&b, 256);
    for (int i = 0; i < MECHANISMS; i++)
        if (is_offered(state, &mechanisms[i], peer))
            buf_addf(&b, "%s%s", b.n ? " " : "", mechanisms[i].name);
    if (b.n == 0)
        return RC_NONE;
    *list = arena_copy(a, buf_str(&b));
    return RC_OK;
}

/* ---- life ---- */

#ifdef HAVE_OPENSSL
enum { SCRAM_WORKS = true };
#else
enum { SCRAM_WORKS = false };
#endif

/* Does every entry hold a verifier? No: unknown, for the table cannot be listed. */
static bool all_have_scram(struct file *f)
{
    struct str key, value;
    struct user_entry e;
    int n = 0;
    enum rc rc = RC_OK;

    while (rc == RC_OK && n < LOOK_AT) {
        AUTO_ARENA a = arena_new(1024);
        rc = table_next(f->users, n == 0, a, &key, &value, NULL);
        if (rc != RC_OK)
            break;
        if (user_entry_parse(value, &e, NULL) != RC_OK || !e.has_scram)
            return false;
        n++;
    }
    return n > 0 && (rc == RC_NONE || rc == RC_OK);
}

static enum rc open_users(struct file *f, const struct login_server_options *o, struct why *why)
{
    const struct table_env env = {o->config, o->log};
    const unsigned flags = TABLE_NO_SUBSTITUTE | TABLE_NO_UNAUTH;

    if (str_index(f->path, ':') < 0)
        return FAIL(why, RC_CONFIG,
                    "smtpd_sasl_path = " STR_FMT ": with smtpd_sasl_type = file it names a table "
                    "of users, such as texthash:/etc/postfix/users; make it with postern-user(1)",
                    STR_ARG(f->path));
    if (table_open(f->path, flags | TABLE_STRICT, &env, &f->users, why) == RC_OK)
        return RC_OK;
    why_prefix(why, "smtpd_sasl_path");
    return RC_CONFIG;
}

static void file_close(void *state)
{
    struct file *f = state;

    table_close(f->users);
    pthread_cond_destroy(&f->freed);
    pthread_mutex_destroy(&f->lock);
    arena_free(f->arena);
}

static enum rc file_open(const struct login_server_options *o, void **state, struct why *why)
{
    struct arena *a = arena_new(1024);
    struct file *f = arena_new_of(a, struct file);
    enum rc rc;

    f->arena = a;
    f->log = o->log;
    f->utf8 = o->config && o->config->smtputf8_enable;
    f->path = arena_copy(a, str_trim(o->path));
    f->realm = arena_lower(a, o->realm);
    f->timeout_ms = o->timeout_ms ? o->timeout_ms : WAIT_MS;
    f->free_checks = sysconf(_SC_NPROCESSORS_ONLN);
    if (f->free_checks < 1)
        f->free_checks = 1;
    if (getrandom(f->secret, sizeof f->secret, 0) != sizeof f->secret) {
        arena_free(a);
        return FAIL(why, RC_TEMP, "random numbers: %m");
    }
    prep_load();
    rc = open_users(f, o, why);
    if (rc != RC_OK) {
        arena_free(a);
        return rc;
    }
    pthread_mutex_init(&f->lock, NULL);
    clock_cond_init(&f->freed);
    f->offers_scram = SCRAM_WORKS && all_have_scram(f);
    *state = f;
    return RC_OK;
}

static bool file_has_changed(void *state)
{
    return table_has_changed(((struct file *)state)->users);
}

const struct login_server_type login_server_file = {
    .name = "file",
    .open = file_open,
    .close = file_close,
    .has_changed = file_has_changed,
    .mechanisms = file_mechanisms,
    .begin = file_begin,
    .step = file_step,
    .end = file_end,
};
