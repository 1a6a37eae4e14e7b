/* Destinations of a text, each delivered in its way. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "config/config.h"
#include "global/address.h"
#include "local/destinations.h"
#include "local/local.h"
#include "util/file.h"

enum { INCLUDE_MAX = 16 * 1024 * 1024 };

/* ---- addresses ---- */

static struct str with_extension(struct attempt *at, const struct target *t, struct str address)
{
    struct address_parts parts = address_split(address);
    struct str local, user, extension;

    if (!(at->state->propagate & 1u << t->from) || t->extension.n == 0 ||
        address_extension(parts.local, at->env->config->recipient_delimiter, &user, &extension))
        return address;
    local = arena_printf(at->arena, STR_FMT STR_FMT STR_FMT, STR_ARG(parts.local),
                         STR_ARG(t->delimiter), STR_ARG(t->extension));
    return parts.has_domain ? address_join(at->arena, local, parts.domain) : local;
}

void deliver_address(struct attempt *at, struct target *t, struct str address)
{
    struct resolution r = {0};
    struct why why = {0};

    /* match rules have chosen this service: what has no domain of its own stays */
    if (t->rcpt.action.n && str_index(address, '@') < 0) {
        t->rcpt.address = address_join(at->arena, with_extension(at, t, address), t->domain);
        deliver_recipient(at, t);
        return;
    }
    if (resolve(at, with_extension(at, t, address), &r, &why) != RC_OK) {
        reportf(at, t, "4.3.0", "address resolver failure: %s", why.text);
        return;
    }
    if (!r.here) {
        forward_add(at, t, r.address);
        return;
    }
    t->rcpt.address = r.address;
    deliver_recipient(at, t);
}

/* ---- :include: ---- */

static enum rc read_include(struct attempt *at, const struct user *rights, const char *path,
                            struct str *text, struct stat *st, struct why *why)
{
    const struct user *as = rights ? rights : &at->state->nobody;
    enum rc rc = identity_assume(at->env, as->uid, as->gid, why);
    int fd = -1;

    if (rc == RC_OK && (fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)) < 0)
        rc = FAIL(why, errno == ENOENT || errno == ENOTDIR || errno == EACCES ? RC_PERM : RC_TEMP,
                  "cannot open include file %s: %m", path);
    identity_restore(at->env);
    if (rc == RC_OK)
        rc = file_stat(fd, st, why);
    if (rc == RC_OK && !S_ISREG(st->st_mode))
        rc = FAIL(why, RC_PERM, ":include: %s: not a regular file", path);
    if (rc == RC_OK && (st->st_mode & S_IWOTH))
        rc = FAIL(why, RC_PERM, ":include: %s: the file is world-writable", path);
    if (rc == RC_OK)
        rc = fd_read_all(fd, INCLUDE_MAX, at->arena, text, why);
    if (fd >= 0)
        close(fd);
    return rc;
}

/* What an included file asks for happens with its owner's rights; root's with those of who
 * included it. */
static enum rc owner_of(struct attempt *at, const struct stat *st, const struct user **rights,
                        struct why *why)
{
    enum rc rc;

    if (st->st_uid == 0 || at->env->rootless)
        return RC_OK;
    rc = user_by_uid(st->st_uid, at->arena, rights, why);
    return rc == RC_NONE ? FAIL(why, RC_PERM, "the owner of the :include: file has no account")
                         : rc;
}

static void deliver_include(struct attempt *at, const struct target *t, struct str path,
                            const struct user *rights)
{
    const char *name = arena_text(at->arena, path);
    struct str text = STR("");
    struct why why = {0};
    struct stat st;
    enum rc rc = RC_OK;

    if (!is_first(at, "include " STR_FMT, STR_ARG(path)))
        return;
    if (name[0] != '/')
        rc = FAIL(&why, RC_PERM, ":include: %s uses a relative path", name);
    if (rc == RC_OK)
        rc = read_include(at, rights, name, &text, &st, &why);
    if (rc == RC_OK)
        rc = owner_of(at, &st, &rights, &why);
    if (rc == RC_OK)
        deliver_expansion(at, t, text, FROM_INCLUDE, rights);
    else
        reportf(at, t, rc == RC_PERM ? "5.2.4" : "4.2.4", "%s", why.text);
}

/* ---- all kinds ---- */

static bool is_allowed(struct attempt *at, const struct target *t, unsigned allowed,
                       const char *what)
{
    if (allowed & 1u << t->from)
        return true;
    reportf(at, t, "5.7.1", "mail to %s is restricted", what);
    return false;
}

static void deliver_destination(struct attempt *at, struct target *t, const struct destination *d)
{
    switch (d->kind) {
    case DESTINATION_ADDRESS: deliver_address(at, t, d->text); break;
    case DESTINATION_USER:
        t->rcpt.address = d->text;
        deliver_to_user(at, t);
        break;
    case DESTINATION_COMMAND:
        if (is_allowed(at, t, at->state->may_command, "command"))
            deliver_command(at, t, d->text, t->rights, at->env->config->local_command_shell);
        break;
    case DESTINATION_FILE:
        if (is_allowed(at, t, at->state->may_file, "file"))
            deliver_file(at, t, d->text);
        break;
    case DESTINATION_INCLUDE: deliver_include(at, t, d->text, t->rights); break;
    }
}

/* "error:550 gone away": the mail is returned with that text. */
static bool is_error(struct attempt *at, const struct target *t, struct str text)
{
    const char *status = "5.1.1";

    text = str_trim(text);
    if (text.n > 1 && text.p[0] == '"' && text.p[text.n - 1] == '"')
        text = (struct str){text.p + 1, text.n - 2};
    if (!str_has_prefix_nocase(text, STR("error:")))
        return false;
    text = str_trim(str_from(text, 6));
    if (text.n > 3 && is_digit(text.p[1]) && is_digit(text.p[2]) && text.p[3] == ' ') {
        status = text.p[0] == '4' ? "4.1.1" : status;
        text = str_from(text, 4);
    }
    reportf(at, t, status, STR_FMT, STR_ARG(text));
    return true;
}

void deliver_expansion(struct attempt *at, const struct target *t, struct str text,
                       enum origin_kind from, const struct user *rights)
{
    struct destination *list = NULL;
    struct why why = {0};
    size_t n = 0;

    if (is_error(at, t, text))
        return;
    if (destinations_parse(text, at->arena, &list, &n, &why) != RC_OK) {
        log_warning(&at->d->log, "destinations of <" STR_FMT ">: %s", STR_ARG(t->rcpt.address),
                    why.text);
        reportf(at, t, "4.2.4", "bad entry in alias, .forward or :include: file: %s", why.text);
        return;
    }
    if (n == 0)
        reportf(at, t, "5.2.4", "no destinations in alias or :include: file");
    for (size_t i = 0; i < n; i++) {
        struct target *child = arena_new_of(at->arena, struct target);
        *child = *t;
        child->from = from;
        child->rights = rights;
        child->level++;
        deliver_destination(at, child, &list[i]);
    }
}

size_t expansion_size(struct attempt *at, struct str text)
{
    struct destination *list;
    struct why why;
    size_t n = 0;

    return destinations_parse(text, at->arena, &list, &n, &why) == RC_OK ? n : 1;
}
