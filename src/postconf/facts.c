/* What this build can do. */
#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>

#include "postconf/postconf.h"
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

/* The Dovecot protocol needs no library. */
static const char *const server_sasl_types[] = {
#ifdef HAVE_SASL
    "cyrus",
#endif
    "dovecot", NULL};

static const char *const client_sasl_types[] = {
#ifdef HAVE_SASL
    "cyrus",
#endif
    NULL};

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

/* The bounce service knows the templates. */
static int show_templates(const struct options *o, const struct log *log)
{
    struct config_request request = {.dir = o->dir, .process_name = "postconf"};
    struct config *config = NULL;
    char path[4096];
    struct why why = {0};

    if (config_load(&request, &config, &why) != RC_OK)
        log_fatal(log, 1, "%s", why.text);
    snprintf(path, sizeof path, STR_FMT "/bounce", STR_ARG(config->daemon_directory));
    execl(path, "bounce", "-S", "-c", config->config_directory.p, "-n",
          o->expand_templates ? "expand_templates" : "dump_templates", *o->args, (char *)NULL);
    log_fatal(log, 1, "exec %s: %m", path);
}

int show_facts(const struct options *o, const struct log *log)
{
    switch (o->subject) {
    case SERVER_SASL_TYPES: return print_list(server_sasl_types);
    case CLIENT_SASL_TYPES: return print_list(client_sasl_types);
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
