/* What this build can do. */
#include <dlfcn.h>
#include <stdio.h>

#include "deliver/template.h"
#include "postconf/postconf.h"
#include "sasl/client.h"
#include "table/table.h"

#ifdef HAVE_OPENSSL
#    include <openssl/opensslv.h>
#endif

static int print_list(const char *const *list)
{
    for (; *list; list++)
        puts(*list);
    return 0;
}

/* The Dovecot protocol and tables of users need no library. */
static const char *const server_sasl_types[] = {
#ifdef HAVE_SASL
    "cyrus",
#endif
    "dovecot", "file", NULL};

static const char *const lock_types[] = {"flock", "fcntl", "dotlock", NULL};

#ifdef HAVE_OPENSSL
static const char *const key_algorithms[] = {"dsa", "ecdsa", "ed25519", "ed448", "rsa", NULL};

/* The library that programs will run with; only this mode needs it. */
static int print_run_version(const struct log *log)
{
    char name[64];
    const char *(*version)(int) = NULL;
    void *library;

    snprintf(name, sizeof name, "libcrypto.so.%d", OPENSSL_VERSION_MAJOR);
    library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (library)
        *(void **)&version = dlsym(library, "OpenSSL_version");
    if (!version)
        log_fatal(log, 1, "cannot load %s; run: apt-get install libssl3", name);
    puts(version(0));
    return 0;
}

static int show_tls(const char *mode, const struct log *log)
{
    if (strcmp(mode, "compile-version") == 0)
        return puts(OPENSSL_VERSION_TEXT) < 0;
    if (strcmp(mode, "run-version") == 0)
        return print_run_version(log);
    if (strcmp(mode, "public-key-algorithms") == 0)
        return print_list(key_algorithms);
    log_warning(log, "unknown 'postconf -T' mode: %s", mode);
    return 1;
}
#else
static int show_tls(const char *mode, const struct log *log)
{
    (void)mode;
    log_fatal(log, 1, "this build has no TLS");
}
#endif

/* The texts of notifications, of a file or those that bounce(8) would use. */
static int show_templates(const struct options *o, const struct log *log)
{
    struct config_setting file = {.name = STR("bounce_template_file"), .value = str_of(*o->args)};
    struct config_request request = {.dir = o->dir,
                                     .process_name = "postconf",
                                     .overrides = &file,
                                     .overrides_n = *o->args != NULL};
    AUTO_ARENA a = arena_new(16 * 1024);
    struct config *config = NULL;
    struct templates templates;
    struct why why = {0};
    AUTO_BUF out;

    if (*o->args && o->args[1])
        log_fatal(log, 1, "options -b and -t take one file with templates, not more");
    buf_init(&out, 1024 * 1024);
    if (config_load(&request, &config, &why) != RC_OK ||
        templates_load(config, a, log, &templates, &why) != RC_OK)
        log_fatal(log, 1, "%s", why.text);
    if (!o->expand_templates)
        templates_print(&out, &templates);
    else if (templates_print_expanded(&out, config, &templates, &why) != RC_OK)
        log_fatal(log, 1, "%s", why.text);
    fputs(buf_text(&out), stdout);
    config_free(config);
    return 0;
}

int show_facts(const struct options *o, const struct log *log)
{
    switch (o->subject) {
    case SERVER_SASL_TYPES: return print_list(server_sasl_types);
    case CLIENT_SASL_TYPES: return print_list(login_client_types());
    case LOCK_TYPES: return print_list(lock_types);
    case TABLE_TYPES: return print_list(table_types());
    case TEMPLATES: return show_templates(o, log);
    case TLS_FACTS: return show_tls(o->tls_mode, log);
    case MAIN_CF:
    case MASTER_ENTRIES:
    case MASTER_FIELDS_OF:
    case MASTER_PARAMETERS: break;
    }
    return 1;
}
