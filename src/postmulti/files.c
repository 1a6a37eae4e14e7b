/* What an instance has on disk. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include "postmulti/postmulti.h"
#include "util/file.h"

static const char *const queues[] = {"incoming", "active", "deferred", "hold", "maildrop"};

/* All that belongs in a queue directory; what else is there is not ours to remove. */
static const char *const queue_parts[] = {
    "incoming", "active", "deferred", "hold", "maildrop", "corrupt", "bounce", "defer",
    "trace",    "flush",  "saved",    "pid",  "private",  "public",  "submit", "tlstrace",
};

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

static void make_dir(struct postmulti *m, const char *path, mode_t mode)
{
    struct why why = {0};

    if (dir_make(path, mode, &why) != RC_OK)
        log_fatal(m->log, 1, "%s", why.text);
}

static void give_to_mail_owner(struct postmulti *m, const char *path)
{
    struct str owner = m->instances[0].config->mail_owner;
    struct passwd *pw = geteuid() == 0 ? getpwnam(owner.p) : NULL;

    if (pw && chown(path, pw->pw_uid, (gid_t)-1) < 0)
        log_fatal(m->log, 1, "chown %s %s: %m", owner.p, path);
}

static struct str in_dir(struct postmulti *m, struct str dir, const char *name)
{
    return arena_printf(m->arena, STR_FMT "/%s", STR_ARG(dir), name);
}

static void write_file(struct postmulti *m, struct str path, struct str text)
{
    struct why why = {0};

    if (access(path.p, F_OK) == 0)
        log_fatal(m->log, 1, "%s is there already; to use it: postmulti -e import", path.p);
    if (file_replace(path.p, text, 0644, &why) != RC_OK)
        log_fatal(m->log, 1, "%s", why.text);
}

/* The sample of the installation, else what the primary has. */
static struct str master_text(struct postmulti *m)
{
    const struct instance *primary = &m->instances[0];
    struct str sample = in_dir(m, primary->config->meta_directory, "master.cf.proto");
    struct str own = in_dir(m, primary->dir, "master.cf"), text;
    struct why why = {0};

    if (file_read(sample.p, 1024 * 1024, m->arena, &text, &why) != RC_OK &&
        file_read(own.p, 1024 * 1024, m->arena, &text, &why) != RC_OK)
        log_fatal(m->log, 1, "%s", why.text);
    return text;
}

/* Parameters of the installation, which all instances have in common. */
static struct str shared_settings(struct postmulti *m)
{
    static const char *const names[] = {
        "compatibility_level", "command_directory",     "daemon_directory",
        "mail_owner",          "setgid_group",          "sendmail_path",
        "mailq_path",          "newaliases_path",       "meta_directory",
        "shlib_directory",     "maillog_file_prefixes",
    };
    const struct config *primary = m->instances[0].config;
    struct str text = STR(""), value;

    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (config_is_set(primary, str_of(names[i])) &&
            config_get(primary, str_of(names[i]), &value) == RC_OK)
            text = arena_printf(m->arena, STR_FMT "%s = " STR_FMT "\n", STR_ARG(text), names[i],
                                STR_ARG(value));
    return text;
}

static struct str value_of(const struct config_setting *settings, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(settings[i].name, str_of(name)))
            return settings[i].value;
    return STR("");
}

/* No network service and no submission until the administrator says so. */
void create_files(struct postmulti *m, const struct instance *new_one,
                  const struct config_setting *settings, size_t n)
{
    const char *dir = new_one->dir.p;
    struct str shared = shared_settings(m);
    struct str main_cf = arena_printf(
        m->arena,
        "# A mail system of its own, beside %s; made by postmulti(1).\n\n" STR_FMT
        "\n# Take these away, or change them, when it shall have network services and users:\n"
        "master_service_disable = inet\nauthorized_submit_users =\n\n",
        m->instances[0].dir.p, STR_ARG(shared));
    struct str queue = arena_copy(m->arena, value_of(settings, n, "queue_directory"));
    struct str data = arena_copy(m->arena, value_of(settings, n, "data_directory"));
    struct instance made = *new_one;
    char word[] = "check";
    char *check[] = {word, NULL};

    make_dir(m, dir, 0755);
    write_file(m, in_dir(m, new_one->dir, "main.cf"), main_cf);
    write_file(m, in_dir(m, new_one->dir, "master.cf"), master_text(m));
    set_parameters(m, dir, settings, n);
    make_dir(m, queue.p, 0755);
    make_dir(m, data.p, 0700);
    give_to_mail_owner(m, data.p);
    made.config = m->instances[0].config;
    if (call_postfix(m, &made, check, false) != 0)
        log_warning(m->log, "postfix -c %s check: see what it says above", dir);
}

/* Remove what is below a directory, and itself; links are removed, not followed. */
static void remove_tree(struct postmulti *m, int parent, const char *name)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *e;

    if (d == NULL) {
        if (errno != ENOENT)
            log_warning(m->log, "open %s: %m", name);
        return;
    }
    while ((e = readdir(d))) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (unlinkat(dirfd(d), e->d_name, 0) < 0 && (errno == EISDIR || errno == EPERM))
            remove_tree(m, dirfd(d), e->d_name);
    }
    closedir(d);
    if (unlinkat(parent, name, AT_REMOVEDIR) < 0)
        log_warning(m->log, "remove %s: %m", name);
}

static bool has_files(int parent, const char *name)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    bool found = false;
    struct dirent *e;

    if (d == NULL)
        return false;
    while (!found && (e = readdir(d))) {
        if (e->d_name[0] == '.')
            continue;
        found = e->d_type == DT_DIR ? has_files(dirfd(d), e->d_name) : true;
    }
    closedir(d);
    return found;
}

static void remove_dir(struct postmulti *m, const char *path)
{
    if (rmdir(path) < 0 && errno != ENOENT)
        log_warning(m->log, "%s is left: %m", path);
}

static void remove_file(struct postmulti *m, struct str path)
{
    if (unlink(path.p) < 0 && errno != ENOENT)
        log_fatal(m->log, 1, "remove %s: %m", path.p);
}

static void destroy_queue(struct postmulti *m, const struct instance *i)
{
    const char *path = i->config->queue_directory.p;
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return;
    for (size_t k = 0; k < COUNT_OF(queues); k++)
        if (has_files(fd, queues[k]))
            log_fatal(m->log, 1, "instance %s has mail in %s/%s; deliver or delete it first",
                      i->name.p, path, queues[k]);
    for (size_t k = 0; k < COUNT_OF(queue_parts); k++)
        remove_tree(m, fd, queue_parts[k]);
    remove_dir(m, path);
}

static void destroy_data(struct postmulti *m, const struct instance *i)
{
    const char *path = i->config->data_directory.p;
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(dup(fd));
    struct dirent *e;

    while (d && (e = readdir(d)))
        if (e->d_type == DT_REG && unlinkat(fd, e->d_name, 0) < 0)
            log_warning(m->log, "remove %s/%s: %m", path, e->d_name);
    if (d)
        closedir(d);
    remove_dir(m, path);
}

/* Directories of other instances stay whatever main.cf says. */
static void need_own_directories(struct postmulti *m, const struct instance *i)
{
    for (size_t k = 0; k < m->n; k++) {
        const struct instance *other = &m->instances[k];
        if (other != i && (str_eq(other->config->queue_directory, i->config->queue_directory) ||
                           str_eq(other->config->data_directory, i->config->data_directory)))
            log_fatal(m->log, 1, "%s/main.cf: the queue or data directory is that of %s", i->dir.p,
                      other->dir.p);
    }
}

void destroy_files(struct postmulti *m, const struct instance *i)
{
    need_own_directories(m, i);
    destroy_queue(m, i);
    destroy_data(m, i);
    remove_file(m, in_dir(m, i->dir, "main.cf"));
    remove_file(m, in_dir(m, i->dir, "master.cf"));
    remove_dir(m, i->dir.p);
}
