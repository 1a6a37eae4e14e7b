/* postfix tls: keys, certificates, and the few settings that switch TLS on. */
#include "postfix/tls.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "config/edit.h"
#include "config/param.h"
#include "tls/tls.h"
#include "util/clock.h"

static _Noreturn void fail(const struct postfix *p, const struct why *why)
{
    log_fatal(&p->log, 1, "%s", why->text);
}

/* ---- settings ---- */

/* The main.cf that is installed sets smtpd_tls_auth_only, which is no TLS yet. */
static bool is_default(const struct postfix *p, const char *prefix, const char *use,
                       const char *enforce)
{
    for (int i = 0; i < PARAM_COUNT; i++) {
        struct str name = params[i].name;
        if ((str_has_prefix(name, str_of(prefix)) || str_eq(name, str_of(use)) ||
             str_eq(name, str_of(enforce))) &&
            i != PARAM_INDEX_smtpd_tls_auth_only && config_is_set(p->config, name))
            return false;
    }
    return true;
}

static bool client_is_default(const struct postfix *p)
{
    return is_default(p, "smtp_tls_", "smtp_use_tls", "smtp_enforce_tls");
}

static bool server_is_default(const struct postfix *p)
{
    return is_default(p, "smtpd_tls_", "smtpd_use_tls", "smtpd_enforce_tls");
}

static int all_default_client(struct postfix *p, const struct tls_request *r)
{
    (void)r;
    return client_is_default(p) ? 0 : 1;
}

static int all_default_server(struct postfix *p, const struct tls_request *r)
{
    (void)r;
    return server_is_default(p) ? 0 : 1;
}

static void warn(void *context, const char *words)
{
    const struct postfix *p = context;

    log_warning(&p->log, "%s", words);
}

static void edit(const struct postfix *p, const struct config_setting *settings, size_t n)
{
    const struct edit_warnings warnings = {warn, (void *)p};
    struct why why;

    if (main_cf_edit(p->config_directory, EDIT_REPLACE, settings, n, &warnings, &why) != RC_OK)
        fail(p, &why);
    for (size_t i = 0; i < n; i++)
        log_info(&p->log, "main.cf: " STR_FMT " = " STR_FMT, STR_ARG(settings[i].name),
                 STR_ARG(settings[i].value));
}

static struct str random_source(const struct postfix *p, const struct tls_request *r,
                                struct arena *a)
{
    if (r->random_source == NULL)
        return p->config->tls_random_source;
    return strchr(r->random_source, ':') ? str_of(r->random_source)
                                         : arena_printf(a, "dev:%s", r->random_source);
}

static int enable_client(struct postfix *p, const struct tls_request *r)
{
    AUTO_ARENA a = arena_new(512);
    const struct config_setting settings[] = {
        {STR("smtp_tls_security_level"), STR("may"), STR_NONE},
        {STR("smtp_tls_loglevel"), STR("1"), STR_NONE},
        {STR("smtp_tls_session_cache_database"),
         arena_printf(a, STR_FMT ":${data_directory}/smtp_scache",
                      STR_ARG(p->config->default_cache_db_type)),
         STR_NONE},
        {STR("tls_random_source"), random_source(p, r, a), STR_NONE},
    };

    if (!client_is_default(p)) {
        log_info(&p->log, "TLS of the SMTP client is configured already; nothing is changed");
        return 0;
    }
    edit(p, settings, r->random_source ? 4 : 3);
    log_info(&p->log, "the SMTP client uses TLS where servers offer it, after: postfix reload");
    return 0;
}

/* ---- keys and certificates ---- */

struct files {
    const char *key, *certificate;
};

static struct files make_files(const struct postfix *p, const struct tls_request *r,
                               struct arena *a)
{
    const char *prefix = r->algorithm == TLS_RSA ? "" : "ec";
    time_t now = clock_seconds();
    struct files f;
    char stamp[32];
    struct tm tm;
    struct why why;

    gmtime_r(&now, &tm);
    strftime(stamp, sizeof stamp, "%Y%m%d-%H%M%S", &tm);
    f.key = arena_printf(a, "%s/%skey-%s.pem", p->config_directory, prefix, stamp).p;
    f.certificate = arena_printf(a, "%s/%scert-%s.pem", p->config_directory, prefix, stamp).p;
    if (access(f.key, F_OK) == 0)
        log_fatal(&p->log, 1, "%s exists already; try again in a second", f.key);
    if (make_key(p, r, f.key, &why) != RC_OK ||
        make_certificate(p, r, f.key, f.certificate, a, &why) != RC_OK)
        fail(p, &why);
    log_info(&p->log, "new key %s, certificate %s", f.key, f.certificate);
    return f;
}

/* Do they belong together? The TLS library says so, with words for what is wrong. */
static void check_pair(const struct postfix *p, const char *certificate, const char *key)
{
    const struct config_setting settings[] = {
        {STR("smtpd_tls_chain_files"), STR(""), STR_NONE},
        {STR("smtpd_tls_cert_file"), str_of(certificate), STR_NONE},
        {STR("smtpd_tls_key_file"), str_of(key), STR_NONE},
        {STR("smtpd_tls_eccert_file"), STR(""), STR_NONE},
        {STR("smtpd_tls_dcert_file"), STR(""), STR_NONE},
    };
    const struct tls_options o = {.role = TLS_SERVER, .prefix = "smtpd_tls_", .strict = true};
    struct tls_context *t = NULL;
    struct config *other = NULL;
    struct why why;

    if (config_overlay(p->config, settings, 5, &other, &why) != RC_OK ||
        tls_context_new(&o, other, &p->log, &t, &why) != RC_OK)
        fail(p, &why);
    tls_context_free(t);
    config_free(other);
}

static const char *absolute(const struct postfix *p, const char *path, struct arena *a)
{
    char real[PATH_MAX];

    if (*path == '/')
        return path;
    if (realpath(path, real) == NULL)
        log_fatal(&p->log, 1, "%s: %m", path);
    return arena_text(a, str_of(real));
}

static void deploy(const struct postfix *p, const char *certificate, const char *key,
                   struct arena *a)
{
    enum tls_algorithm algorithm;
    struct config_setting settings[2] = {0};
    struct why why;

    if (p->config->smtpd_tls_chain_files.n)
        log_fatal(&p->log, 1,
                  "smtpd_tls_chain_files is in use; put key and certificates into one of its "
                  "files, key first, or clear it: postconf -e smtpd_tls_chain_files=");
    certificate = absolute(p, certificate, a);
    key = absolute(p, key, a);
    check_pair(p, certificate, key);
    if (certificate_algorithm(p, certificate, &algorithm, &why) != RC_OK)
        fail(p, &why);
    settings[0].name =
        algorithm == TLS_RSA ? STR("smtpd_tls_cert_file") : STR("smtpd_tls_eccert_file");
    settings[0].value = str_of(certificate);
    settings[1].name =
        algorithm == TLS_RSA ? STR("smtpd_tls_key_file") : STR("smtpd_tls_eckey_file");
    settings[1].value = str_of(key);
    edit(p, settings, 2);
}

static int enable_server(struct postfix *p, const struct tls_request *r)
{
    AUTO_ARENA a = arena_new(1024);
    const struct config_setting settings[] = {
        {STR("smtpd_tls_security_level"), STR("may"), STR_NONE},
        {STR("smtpd_tls_received_header"), STR("yes"), STR_NONE},
        {STR("smtpd_tls_loglevel"), STR("1"), STR_NONE},
        {STR("tls_random_source"), random_source(p, r, a), STR_NONE},
    };
    struct files f;

    if (!server_is_default(p)) {
        log_info(&p->log, "TLS of the SMTP server is configured already; nothing is changed");
        return 0;
    }
    f = make_files(p, r, a);
    deploy(p, f.certificate, f.key, a);
    edit(p, settings, r->random_source ? 4 : 3);
    log_info(&p->log, "the SMTP server offers TLS after: postfix reload");
    return 0;
}

static int new_server_key(struct postfix *p, const struct tls_request *r)
{
    AUTO_ARENA a = arena_new(1024);
    struct files f = make_files(p, r, a);

    printf("To use them:\n    postfix tls deploy-server-cert %s %s\n    postfix reload\n"
           "To ask a certificate authority for a certificate:\n"
           "    postfix tls output-server-csr -k %s\n"
           "TLSA records, to publish two times their TTL before they are used:\n"
           "    postfix tls output-server-tlsa %s\n",
           f.certificate, f.key, f.key, f.key);
    return 0;
}

static int new_server_cert(struct postfix *p, const struct tls_request *r)
{
    AUTO_ARENA a = arena_new(1024);
    struct files f = make_files(p, r, a);

    deploy(p, f.certificate, f.key, a);
    log_info(&p->log, "in use after: postfix reload");
    return 0;
}

static int deploy_server_cert(struct postfix *p, const struct tls_request *r)
{
    AUTO_ARENA a = arena_new(1024);

    if (r->n_words != 2)
        log_fatal(&p->log, 1, "usage: postfix tls deploy-server-cert certfile keyfile");
    deploy(p, r->words[0], r->words[1], a);
    log_info(&p->log, "in use after: postfix reload");
    return 0;
}

/* The key files of the configuration. */
static size_t configured_keys(const struct postfix *p, const char *keys[2])
{
    const struct config *c = p->config;
    size_t n = 0;

    if (c->smtpd_tls_cert_file.n)
        keys[n++] = c->smtpd_tls_key_file.p;
    if (c->smtpd_tls_eccert_file.n)
        keys[n++] = c->smtpd_tls_eckey_file.p;
    return n;
}

static int output_server_csr(struct postfix *p, const struct tls_request *r)
{
    AUTO_ARENA a = arena_new(1024);
    const char *keys[2] = {NULL};
    struct why why;

    if (r->key_file)
        keys[0] = r->key_file;
    else if (configured_keys(p, keys) == 0)
        log_fatal(&p->log, 1, "no key in smtpd_tls_key_file or smtpd_tls_eckey_file; use -k");
    if (print_request(p, r, keys[0], a, &why) != RC_OK)
        fail(p, &why);
    return 0;
}

static int output_server_tlsa(struct postfix *p, const struct tls_request *r)
{
    AUTO_ARENA a = arena_new(1024);
    const char *configured[2];
    const char *const *keys = (const char *const *)r->words;
    size_t n = (size_t)r->n_words;

    if (n == 0) {
        n = configured_keys(p, configured);
        keys = configured;
    }
    if (n == 0)
        log_fatal(&p->log, 1, "no key in smtpd_tls_key_file or smtpd_tls_eckey_file; name one");
    for (size_t i = 0; i < n; i++) {
        struct str hex;
        struct why why;
        if (key_digest(p, keys[i], a, &hex, &why) != RC_OK)
            fail(p, &why);
        printf("; %s\n_25._tcp.%s. IN TLSA 3 1 1 " STR_FMT "\n", keys[i],
               r->host ? r->host : p->config->myhostname.p, STR_ARG(hex));
    }
    return 0;
}

/* ---- the command line ---- */

static const struct {
    const char *word, *options;
    int (*run)(struct postfix *p, const struct tls_request *r);
} commands[] = {
    {"enable-client", "+r:", enable_client},
    {"enable-server", "+r:a:b:", enable_server},
    {"new-server-key", "+a:b:", new_server_key},
    {"new-server-cert", "+a:b:", new_server_cert},
    {"deploy-server-cert", "+", deploy_server_cert},
    {"output-server-csr", "+k:", output_server_csr},
    {"output-server-tlsa", "+h:", output_server_tlsa},
    {"all-default-client", "+", all_default_client},
    {"all-default-server", "+", all_default_server},
};

static _Noreturn void usage(const struct postfix *p)
{
    log_fatal(&p->log, 1,
              "usage: postfix tls enable-client [-r source] | enable-server [-r source] [-a "
              "algorithm] [-b bits] [host ...] | new-server-key [-a algorithm] [-b bits] [host "
              "...] | new-server-cert [-a algorithm] [-b bits] [host ...] | deploy-server-cert "
              "certfile keyfile | output-server-csr [-k keyfile] [host ...] | "
              "output-server-tlsa [-h host] [keyfile ...] | all-default-client | "
              "all-default-server");
}

static void take_option(const struct postfix *p, int letter, struct tls_request *r)
{
    switch (letter) {
    case 'r': r->random_source = optarg; break;
    case 'k': r->key_file = optarg; break;
    case 'h': r->host = optarg; break;
    case 'a':
        if (strcmp(optarg, "rsa") != 0 && strcmp(optarg, "ecdsa") != 0)
            log_fatal(&p->log, 1, "algorithm \"%s\": use rsa or ecdsa", optarg);
        r->algorithm = *optarg == 'r' ? TLS_RSA : TLS_ECDSA;
        break;
    case 'b':
        if (!str_to_long(str_of(optarg), 1, 65536, &r->bits))
            log_fatal(&p->log, 1, "bits \"%s\": not a number", optarg);
        break;
    default: usage(p);
    }
}

static void check_bits(const struct postfix *p, struct tls_request *r)
{
    bool rsa = r->algorithm == TLS_RSA;

    if (r->bits == 0)
        r->bits = rsa ? 2048 : 256;
    if (rsa ? r->bits < 2048 || r->bits > 16384
            : r->bits != 256 && r->bits != 384 && r->bits != 521)
        log_fatal(&p->log, 1, "%ld bits: use %s", r->bits,
                  rsa ? "2048 or more for rsa" : "256, 384 or 521 for ecdsa");
}

int run_tls(struct postfix *p)
{
    struct tls_request r = {.algorithm = TLS_RSA};
    size_t i = 0, n = sizeof commands / sizeof *commands;
    int letter;

    while (p->argc && i < n && strcmp(p->argv[0], commands[i].word) != 0)
        i++;
    if (p->argc == 0 || i == n)
        usage(p);
    optind = 0;
    while ((letter = getopt(p->argc, p->argv, commands[i].options)) > 0)
        take_option(p, letter, &r);
    check_bits(p, &r);
    r.words = p->argv + optind;
    r.n_words = p->argc - optind;
    return commands[i].run(p, &r);
}
