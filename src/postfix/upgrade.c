/* postfix upgrade-configuration: services that an older master.cf does not have. */
#include <stdio.h>

#include "config/snapshot.h"
#include "postfix/postfix.h"
#include "util/buf.h"
#include "util/file.h"

static const struct {
    const char *name;
    enum master_type type;
    const char *line;
} needed[] = {
    {"flush", MASTER_UNIX, "flush     unix  n       -       n       1000?   0       flush"},
    {"trace", MASTER_UNIX, "trace     unix  -       -       n       -       0       bounce"},
    {"verify", MASTER_UNIX, "verify    unix  -       -       n       -       1       verify"},
    {"proxymap", MASTER_UNIX, "proxymap  unix  -       -       n       -       -       proxymap"},
    {"proxywrite", MASTER_UNIX, "proxywrite unix -       -       n       -       1       proxymap"},
    {"relay", MASTER_UNIX, "relay     unix  -       -       n       -       -       smtp"},
    {"retry", MASTER_UNIX, "retry     unix  -       -       n       -       -       error"},
    {"discard", MASTER_UNIX, "discard   unix  -       -       n       -       -       discard"},
    {"anvil", MASTER_UNIX, "anvil     unix  -       -       n       -       1       anvil"},
    {"scache", MASTER_UNIX, "scache    unix  -       -       n       -       1       scache"},
    {"tlsmgr", MASTER_UNIX, "tlsmgr    unix  -       -       n       1000?   1       tlsmgr"},
    {"postlog", MASTER_UNIX_DGRAM,
     "postlog   unix-dgram n  -       n       -       1       postlogd"},
};

int run_upgrade_configuration(struct postfix *p)
{
    const struct master_reading how = {.config = p->config};
    AUTO_ARENA a = arena_new(16 * 1024);
    struct master_cf services = {0};
    struct str text;
    struct why why;
    AUTO_BUF out;
    size_t before;

    if (config_file_read(p->config_directory, "master.cf", a, &text, &why) != RC_OK ||
        master_cf_load(p->config_directory, &how, a, &services, &why) != RC_OK)
        log_fatal(&p->log, 1, "%s", why.text);
    buf_init(&out, CONFIG_FILE_MAX);
    buf_add(&out, text);
    if (text.n && text.p[text.n - 1] != '\n')
        buf_addc(&out, '\n');
    before = out.n;
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        if (master_cf_find(&services, str_of(needed[i].name), needed[i].type))
            continue;
        printf("editing %s, adding missing entry for %s service\n", services.path, needed[i].name);
        buf_addf(&out, "%s\n", needed[i].line);
    }
    if (out.n > before && file_replace(services.path, buf_str(&out), 0644, &why) != RC_OK)
        log_fatal(&p->log, 1, "%s", why.text);
    return 0;
}
