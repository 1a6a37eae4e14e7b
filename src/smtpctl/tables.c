/* Tables that smtpd.conf names: newaliases, update table. */
#include <stdlib.h>
#include <unistd.h>

#include "config/config.h"
#include "smtpctl/smtpctl.h"
#include "smtpdconf/smtpdconf.h"
#include "util/file.h"

enum { MAIN_CF_MAX = 16 * 1024 * 1024 };

static const char smtpd_conf[] = "/etc/mail/smtpd.conf";

/* A file with errors may still name its tables. NULL: this one it does not. */
static struct conf_table *find_table(struct smtpctl *s, const char *path, const char *name)
{
    struct conf_request request = {.path = path, .program = "smtpctl"};
    struct conf *conf = arena_new_of(s->arena, struct conf);

    if (conf_read(&request, s->arena, conf) == RC_NONE) {
        fprintf(stderr, "%s: no such file\n", path);
        exit(STATUS_FAILED);
    }
    return conf_table_find(conf, str_of(name));
}

/* What the running system was made from: the last -f of the command that makes it anew. */
static const char *running_conf(struct smtpctl *s)
{
    struct str rest = s->command.config->configuration_generator, word, before = STR_NONE;
    const char *path = NULL;

    while (str_token_braced(&rest, LIST_SEPARATORS, &word)) {
        if (str_eq(before, STR("{-f}")) && word.n > 1)
            path = arena_text(s->arena, (struct str){word.p + 1, word.n - 2});
        before = word;
    }
    return path;
}

/* ---- newaliases ---- */

int newaliases(struct smtpctl *s, int argc, char **argv)
{
    const char *conf = running_conf(s);
    const struct conf_table *t;
    struct str path = STR("/etc/mail/aliases");
    int letter;

    if (conf == NULL && access(smtpd_conf, R_OK) == 0)
        conf = smtpd_conf;
    optind = 1;
    while ((letter = getopt(argc, argv, "f:h")) > 0 && letter == 'f')
        conf = optarg;
    if (letter > 0 || optind < argc) {
        fputs("usage: newaliases [-f file]\n", stderr);
        return STATUS_FAILED;
    }
    t = conf ? find_table(s, conf, "aliases") : NULL;
    if (t && t->path.n)
        path = t->path;
    if (str_has_suffix(path, STR(".db")))
        path = str_head(path, path.n - 3);
    return make_aliases(s, arena_text(s->arena, path));
}

/* ---- update table ---- */

/* Does a table of that name stand in main.cf: type:/path/NAME, or with a suffix? */
static bool main_cf_has(struct smtpctl *s, struct str name)
{
    struct str path = arena_printf(s->arena, "%s/main.cf", config_default_dir()), text, word;
    struct why why;

    if (file_read(path.p, MAIN_CF_MAX, s->arena, &text, &why) != RC_OK)
        return false;
    while (str_token(&text, ", \t\r\n{}", &word)) {
        ssize_t slash = str_rindex(word, '/'), colon = str_rindex(word, ':');
        struct str base = str_from(word, (size_t)((slash > colon ? slash : colon) + 1));
        struct str rest = base, stem = str_cut(&rest, '.');
        if ((slash >= 0 || colon >= 0) && (str_eq(base, name) || str_eq(stem, name)))
            return true;
    }
    return false;
}

/* Services notice changed tables by themselves; a reload also takes what was compiled from them. */
int do_update_table(struct smtpctl *s)
{
    const char *conf = running_conf(s);

    ask_connect(s);
    if (!(conf && find_table(s, conf, s->words[0])) && !main_cf_has(s, str_of(s->words[0])))
        return say_result(false, STR("no such table"));
    return do_reload(s);
}
