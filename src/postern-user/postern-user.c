/*
 * postern-user - who may log in.
 *
 * Adds, changes, removes, lists and verifies users in a table that smtpd's SASL type "file" looks
 * into. See postern-user(1).
 */
#include "postern-user/postern-user.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sasl/user.h"
#include "table/table.h"

struct task {
    struct command command;
    struct arena *arena;
    struct users users;
    struct str name;
    struct why why;
};

static bool is_fit(struct str name)
{
    for (size_t i = 0; i < name.n; i++)
        if ((unsigned char)name.p[i] <= ' ' || name.p[i] == '"' || name.p[i] == 127)
            return false;
    return name.n > 0 && name.n <= 255 && name.p[0] != '#' && str_is_utf8(name);
}

static enum rc set_password(struct task *t)
{
    struct str password, entry;

    TRY(password_read(t->arena, true, &password, &t->why));
    TRY(user_entry_make(password, t->arena, &entry, &t->why));
    login_forget((char *)password.p, password.n);
    return users_set(&t->users, t->name, entry, &t->why);
}

static enum rc find(struct task *t, struct str *value)
{
    enum rc rc = users_find(&t->users, t->name, value, &t->why);

    return rc == RC_NONE
               ? FAIL(&t->why, RC_PERM, "%s: no user " STR_FMT, t->users.path, STR_ARG(t->name))
               : rc;
}

static enum rc add(struct task *t)
{
    struct str old;
    enum rc rc = users_find(&t->users, t->name, &old, &t->why);

    if (rc == RC_OK)
        return FAIL(&t->why, RC_PERM, "%s: user " STR_FMT " is there already; use \"change\"",
                    t->users.path, STR_ARG(t->name));
    return rc == RC_NONE ? set_password(t) : rc;
}

static enum rc change(struct task *t)
{
    struct str old;

    TRY(find(t, &old));
    return set_password(t);
}

static enum rc take_away(struct task *t)
{
    struct str old;

    TRY(find(t, &old));
    return users_set(&t->users, t->name, STR_NONE, &t->why);
}

static enum rc list(struct task *t)
{
    users_list(&t->users);
    return RC_OK;
}

static enum rc verify(struct task *t)
{
    struct str value, password;
    struct user_entry entry;
    enum rc rc;

    TRY(find(t, &value));
    TRY(user_entry_parse(value, &entry, &t->why));
    TRY(password_read(t->arena, false, &password, &t->why));
    rc = user_password_check(&entry, password, &t->why);
    return rc == RC_NONE
               ? FAIL(&t->why, RC_PERM, "this is not the password of " STR_FMT, STR_ARG(t->name))
               : rc;
}

static const struct action {
    const char *name;
    bool writes, takes_user;
    enum rc (*run)(struct task *t);
} actions[] = {
    {"add", true, true, add},          {"change", true, true, change},
    {"remove", true, true, take_away}, {"list", false, false, list},
    {"verify", false, true, verify},
};

_Noreturn static void usage(const struct command *c)
{
    log_fatal(&c->log, 1,
              "usage: postern-user [-v] [-c config_dir] [-t type:name] add|change|remove|verify "
              "user, or list");
}

static const struct action *find_action(struct task *t, int argc, char **argv)
{
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++)
        if (argc >= 1 && strcmp(argv[0], actions[i].name) == 0) {
            if (argc != (actions[i].takes_user ? 2 : 1))
                usage(&t->command);
            return &actions[i];
        }
    usage(&t->command);
}

static struct str table_of(struct task *t, const char *option)
{
    const struct config *config = t->command.config;

    if (option)
        return str_of(option);
    if (!str_eq(config->smtpd_sasl_type, STR("file")))
        log_fatal(&t->command.log, 1,
                  "smtpd_sasl_type is " STR_FMT ", not file: name the table with -t type:name",
                  STR_ARG(config->smtpd_sasl_type));
    return str_trim(config->smtpd_sasl_path);
}

int main(int argc, char **argv)
{
    const char *directory = NULL, *table = NULL;
    struct task t = {.arena = arena_new(65536)};
    const struct action *action;
    enum rc rc;
    int letter;

    umask(077);
    command_init(&t.command, argv[0]);
    t.command.failure = 1;
    while ((letter = getopt(argc, argv, "+c:t:v")) > 0) {
        if (letter == 'c')
            directory = optarg;
        else if (letter == 't')
            table = optarg;
        else if (letter == 'v')
            t.command.log.verbose++;
        else
            usage(&t.command);
    }
    action = find_action(&t, argc - optind, argv + optind);
    command_configure(&t.command, directory);
    if (action->takes_user) {
        t.name = fold_case(t.arena, str_of(argv[optind + 1]), t.command.config->smtputf8_enable);
        if (!is_fit(t.name))
            log_fatal(&t.command.log, 1,
                      "a user name has 1 to 255 bytes, no blanks, no quotes, and does not begin "
                      "with #");
    }
    t.users = (struct users){.command = &t.command, .arena = t.arena, .fd = -1};
    rc = users_open(&t.users, table_of(&t, table), action->writes, &t.why);
    if (rc == RC_OK)
        rc = action->run(&t);
    if (rc != RC_OK)
        log_fatal(&t.command.log, 1, "%s", t.why.text);
    users_close(&t.users);
    return 0;
}
