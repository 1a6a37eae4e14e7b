#include "service/command.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/defaults.h"
#include "table/table.h"

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

void command_init(struct command *c, const char *argv0)
{
    *c = (struct command){.name = base_name(argv0), .failure = 1};
    log_open(&c->log, &(struct log_options){.only_stderr = true, .progname = c->name});
}

/* With the rights of a group, nobody may name files of his own choice. */
static void check_directory(struct command *c, const char *dir)
{
    struct config_request request = {.dir = DEF_CONFIG_DIRECTORY, .process_name = c->name};
    struct config *standard = NULL;
    struct why why = {0};
    bool listed;

    if (getuid() == 0 || (getuid() == geteuid() && getgid() == getegid()) ||
        strcmp(dir, DEF_CONFIG_DIRECTORY) == 0)
        return;
    if (config_load(&request, &standard, &why) != RC_OK)
        log_fatal(&c->log, c->failure, "%s", why.text);
    listed = str_list_has(standard->alternate_config_directories, str_of(dir)) ||
             str_list_has(standard->multi_instance_directories, str_of(dir));
    config_free(standard);
    if (!listed)
        log_fatal(&c->log, c->failure,
                  "unauthorized configuration directory name: %s; root can list it in "
                  "alternate_config_directories of %s/main.cf",
                  dir, DEF_CONFIG_DIRECTORY);
}

void command_open_log(struct log *log, const struct config *config, const char *tag,
                      const char *progname)
{
    char postlog[512];

    snprintf(postlog, sizeof postlog, STR_FMT "/public/" STR_FMT, STR_ARG(config->queue_directory),
             STR_ARG(config->postlog_service_name));
    log_close(log);
    log_open(log, &(struct log_options){.tag = tag,
                                        .facility = config->syslog_facility.p,
                                        .file = config->maillog_file.p,
                                        .file_mode = config->maillog_file_permissions.p,
                                        .postlog = postlog,
                                        .to_stderr = true,
                                        .progname = progname});
}

void command_configure(struct command *c, const char *dir)
{
    struct config_request request = {.dir = dir ? dir : config_default_dir(),
                                     .process_name = c->name};
    struct why why = {0};
    struct stat st;
    char tag[256];

    check_directory(c, request.dir);
    if (config_load(&request, &c->config, &why) != RC_OK)
        log_fatal(&c->log, c->failure, "%s", why.text);
    setenv("MAIL_CONFIG", request.dir, 1);
    snprintf(tag, sizeof tag, STR_FMT "/%s", STR_ARG(c->config->syslog_name), c->name);
    command_open_log(&c->log, c->config, tag, c->name);
    c->privileged = getuid() == 0 || (stat(c->config->queue_directory.p, &st) == 0 &&
                                      st.st_uid == getuid() && getuid() == geteuid());
}

void command_user(char text[64])
{
    struct passwd space, *found = NULL;
    char names[2048];

    if (getpwuid_r(getuid(), &space, names, sizeof names, &found) == 0 && found)
        snprintf(text, 64, "%.40s(%lu)", found->pw_name, (unsigned long)getuid());
    else
        snprintf(text, 64, "unknown(%lu)", (unsigned long)getuid());
}

bool command_user_is_in(struct command *c, const char *parameter, struct str list)
{
    struct table_env env = {c->config, &c->log};
    struct match_list *m = NULL;
    struct passwd space, *found = NULL;
    struct str name = STR("unknown");
    char names[2048];
    struct why why = {0};
    enum rc rc;

    if (getuid() == 0)
        return true;
    if (getpwuid_r(getuid(), &space, names, sizeof names, &found) == 0 && found)
        name = str_of(found->pw_name);
    rc = match_open(parameter, list, MATCH_STRING, false, &env, &m, &why);
    if (rc == RC_OK) {
        rc = match_get(m, name, &why);
        match_close(m);
    }
    if (rc != RC_OK && rc != RC_NONE)
        log_fatal(&c->log, c->failure, "%s: %s", parameter, why.text);
    return rc == RC_OK;
}
