/* Directories and files of the home directory. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "obtuse-smtpd/obtuse-smtpd.h"
#include "util/file.h"

enum { COPY_MAX = 1024 * 1024 };

static const char first_rules[] =
    "# Rules of obtuse-smtpd; see check_rules(5). The first one that matches decides; what none\n"
    "# mentions is taken.\n"
    "#\n"
    "# Mail from this machine may go anywhere. Until rules for your own domains stand in front of\n"
    "# the last one, nobody else gets anything through:\n"
    "#   allow:ALL:ALL:*@example.com *@*.example.com\n"
    "allow:TRUSTED:ALL:ALL\n"
    "noto:ALL:ALL:ALL:551 Relaying denied - %F from %H(%I) to %T\n";

static enum rc make(const char *path, mode_t mode, bool of_root, const struct obtuse *o,
                    struct why *why)
{
    TRY(dir_make(path, mode, why));
    if (chmod(path, mode) < 0 || (geteuid() == 0 && chown(path, of_root ? 0 : o->account.uid,
                                                          of_root ? 0 : o->account.gid) < 0))
        return FAIL(why, RC_TEMP, "%s: %m", path);
    return RC_OK;
}

/* What name service looks for inside the jail. */
static enum rc copy_for_jail(const struct obtuse *o, const char *path, struct why *why)
{
    AUTO_ARENA a = arena_new(4096);
    struct str to = arena_printf(a, "%s%s", o->home, path), text = STR_NONE, there = STR_NONE;

    if (file_read(path, COPY_MAX, a, &text, NULL) != RC_OK ||
        (file_read(to.p, COPY_MAX, a, &there, NULL) == RC_OK && str_eq(text, there)))
        return RC_OK;
    return file_replace(to.p, text, 0644, why);
}

static enum rc fill_jail(const struct obtuse *o, struct why *why)
{
    static const char *const files[] = {"/etc/resolv.conf",   "/etc/hosts",     "/etc/services",
                                        "/etc/nsswitch.conf", "/etc/localtime", "/etc/host.conf"};

    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        TRY(copy_for_jail(o, files[i], why));
    return RC_OK;
}

enum rc obtuse_setup(const struct obtuse *o, struct why *why)
{
    struct str etc = arena_printf(o->arena, "%s/etc", o->home);
    struct str spool = arena_printf(o->arena, "%s%s", o->home, o->spool);
    const char *directory;

    TRY(make(o->home, 0755, true, o, why));
    TRY(make(etc.p, 0755, true, o, why));
    TRY(make(spool.p, 0700, false, o, why));
    TRY(make(arena_printf(o->arena, "%s/data", o->home).p, 0700, false, o, why));
    if (access(o->rules, F_OK) < 0 && errno == ENOENT)
        TRY(file_replace(o->rules, str_of(first_rules), 0644, why));
    TRY(obtuse_write_config(o, &directory, why));
    printf("home %s, spool %s for user %s, rules %s\n", o->home, spool.p, o->account.name,
           o->rules);
    return RC_OK;
}

static enum rc write_file(const struct obtuse *o, const char *directory, const char *name,
                          struct str text, struct why *why)
{
    return file_replace(arena_printf(o->arena, "%s/%s", directory, name).p, text, 0644, why);
}

enum rc obtuse_write_config(const struct obtuse *o, const char **directory, struct why *why)
{
    *directory = arena_printf(o->arena, "%s/etc/postern", o->home).p;
    TRY(make(*directory, 0755, true, o, why));
    TRY(fill_jail(o, why));
    TRY(write_file(o, *directory, "main.cf", instance_main(o), why));
    return write_file(o, *directory, "master.cf", instance_master(o), why);
}
