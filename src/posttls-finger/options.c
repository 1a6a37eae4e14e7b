#include <stdlib.h>
#include <unistd.h>

#include "posttls-finger/finger.h"

static const char usage[] =
    "usage: posttls-finger [-cCfRSvwxX] [-a family] [-A tafile] [-d digest] [-F CAfile] [-g grade] "
    "[-h host_lookup] [-H chainfiles] [-k certfile] [-K keyfile] [-l level] [-L logopts] "
    "[-m count] [-M insecure_mx_policy] [-o name=value] [-p protocols] [-P CApath] [-r delay] "
    "[-s servername] [-t timeout] [-T timeout] [inet:]domain[:port] | unix:path [match ...]";

static void override(struct finger *f, const char *name, struct str value)
{
    if (f->o.n_overrides == FINGER_OVERRIDES_MAX)
        log_fatal(&f->log, 1, "more than %d settings", FINGER_OVERRIDES_MAX);
    f->o.overrides[f->o.n_overrides++] =
        (struct config_setting){str_of(name), value, STR("command line")};
}

/* Options that are parameters of the SMTP client, for this command alone. */
static const struct {
    int letter;
    const char *parameter, *value; /* NULL: the argument */
} parameters[] = {
    {'d', "smtp_tls_fingerprint_digest", NULL},
    {'f', "smtp_tls_force_insecure_host_tlsa_lookup", "yes"},
    {'F', "smtp_tls_CAfile", NULL},
    {'g', "smtp_tls_mandatory_ciphers", NULL},
    {'h', "smtp_host_lookup", NULL},
    {'M', "smtp_tls_dane_insecure_mx_policy", NULL},
    {'p', "smtp_tls_mandatory_protocols", NULL},
    {'P', "smtp_tls_CApath", NULL},
    {'s', "smtp_tls_servername", NULL},
    {'x', "smtp_tls_enable_rpk", "yes"},
};

/* What main.cf says about these does not count here. */
static const char *const cleared[] = {
    "smtp_tls_CAfile",
    "smtp_tls_CApath",
    "smtp_tls_chain_files",
    "smtp_tls_cert_file",
    "smtp_tls_dcert_file",
    "smtp_tls_eccert_file",
    "smtp_tls_key_file",
    "smtp_tls_servername",
    "smtp_tls_trust_anchor_file",
    "smtp_tls_exclude_ciphers",
    "smtp_tls_mandatory_exclude_ciphers",
};

static void log_option(struct finger *f, struct str word)
{
    static const struct {
        const char *word;
        unsigned bits;
    } words[] = {
        {"0", 0},
        {"none", 0},
        {"1", TLS_LOG_SUMMARY},
        {"routine", TLS_LOG_SUMMARY},
        {"summary", TLS_LOG_SUMMARY},
        {"2", TLS_LOG_SUMMARY | TLS_LOG_HANDSHAKE},
        {"debug", TLS_LOG_SUMMARY | TLS_LOG_HANDSHAKE},
        {"3", TLS_LOG_SUMMARY | TLS_LOG_HANDSHAKE | TLS_LOG_DUMP},
        {"ssl-expert", TLS_LOG_SUMMARY | TLS_LOG_HANDSHAKE | TLS_LOG_DUMP},
        {"4", TLS_LOG_SUMMARY | TLS_LOG_HANDSHAKE | TLS_LOG_DUMP_ALL},
        {"ssl-developer", TLS_LOG_SUMMARY | TLS_LOG_HANDSHAKE | TLS_LOG_DUMP_ALL},
        {"ssl-debug", TLS_LOG_HANDSHAKE},
        {"ssl-handshake-packet-dump", TLS_LOG_DUMP},
        {"ssl-session-packet-dump", TLS_LOG_DUMP_ALL},
        {"trace", TLS_LOG_TRACE},
        {"untrusted", 0}, /* always told */
        {"verbose", TLS_LOG_HANDSHAKE},
    };

    if (str_eq_nocase(word, STR("peercert"))) {
        f->o.peercert = true;
        return;
    }
    if (str_eq_nocase(word, STR("certmatch"))) {
        f->o.certmatch = true;
        return;
    }
    if (str_eq_nocase(word, STR("cache"))) {
        f->o.cache = true;
        return;
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (str_eq_nocase(word, str_of(words[i].word))) {
            f->o.loglevel |= words[i].bits;
            return;
        }
    log_fatal(&f->log, 1, "-L: unknown word \"" STR_FMT "\"", STR_ARG(word));
}

static void log_options(struct finger *f, struct str words)
{
    struct str word;

    f->o.loglevel = 0;
    f->o.certmatch = f->o.peercert = f->o.cache = false;
    while (str_token(&words, LIST_SEPARATORS, &word))
        log_option(f, word);
}

static long number(struct finger *f, int letter, long min)
{
    long n;

    if (!str_to_long(str_of(optarg), min, 1000000, &n))
        log_fatal(&f->log, 1, "-%c: \"%s\" is no number from %ld", letter, optarg, min);
    return n;
}

static void set_family(struct finger *f)
{
    f->o.family = str_of(optarg);
    if (!str_eq(f->o.family, STR("any")) && !str_eq(f->o.family, STR("ipv4")) &&
        !str_eq(f->o.family, STR("ipv6")))
        log_fatal(&f->log, 1, "-a: \"%s\" is none of any, ipv4, ipv6", optarg);
}

/* Files that are known when all options were read. */
struct files {
    struct str anchors, chains, certificate, key;
};

static void add_file(struct finger *f, struct str *list)
{
    *list = arena_printf(f->arena, STR_FMT " %s", STR_ARG(*list), optarg);
}

static void set_other(struct finger *f, int letter, struct files *files)
{
    struct config_setting setting;
    struct why why;

    switch (letter) {
    case 'a': set_family(f); break;
    case 'A': add_file(f, &files->anchors); break;
    case 'c': f->o.no_chat = true; break;
    case 'C': f->o.show_chain = true; break;
    case 'H': add_file(f, &files->chains); break;
    case 'k': files->certificate = str_of(optarg); break;
    case 'K': files->key = str_of(optarg); break;
    case 'l':
        if (!tls_level_parse(str_of(optarg), &f->o.level))
            log_fatal(&f->log, 1, "-l: no TLS security level \"%s\"", optarg);
        break;
    case 'L': log_options(f, str_of(optarg)); break;
    case 'm': f->o.reconnects = number(f, letter, 0); break;
    case 'o':
        if (config_parse_setting(str_of(optarg), &setting, &why) != RC_OK)
            log_fatal(&f->log, 1, "-o %s: %s", optarg, why.text);
        override(f, arena_text(f->arena, setting.name), setting.value);
        break;
    case 'r': f->o.delay_seconds = number(f, letter, 0); break;
    case 'R': f->o.srv = true; break;
    case 'S': f->o.lmtp = true; break;
    case 't': f->o.connect_seconds = number(f, letter, 1); break;
    case 'T': f->o.command_seconds = number(f, letter, 1); break;
    case 'v': f->log.verbose++; break;
    case 'w': f->o.wrapper = true; break;
    case 'X': log_warning(&f->log, "-X: TLS is done here, there is no tlsproxy; ignored"); break;
    default: log_fatal(&f->log, 1, "%s", usage);
    }
}

void finger_options_read(struct finger *f, int argc, char **argv)
{
    struct files files = {0};
    int letter;

    f->o.family = STR("any");
    f->o.level = TLS_LEVEL_DANE;
    f->o.loglevel = TLS_LOG_SUMMARY;
    f->o.certmatch = true;
    f->o.reconnects = 5;
    f->o.connect_seconds = f->o.command_seconds = 30;
    for (size_t i = 0; i < sizeof cleared / sizeof *cleared; i++)
        override(f, cleared[i], STR(""));
    override(f, "smtp_host_lookup", STR("dns"));
    override(f, "smtp_tls_session_cache_database", STR("memory")); /* any: it stays in here */
    override(f, "smtp_tls_mandatory_ciphers", STR("medium"));
    override(f, "smtp_tls_mandatory_protocols", STR(">=TLSv1"));
    override(f, "smtp_tls_dane_insecure_mx_policy", STR("dane"));
    while ((letter = getopt(argc, argv, "a:A:cCd:fF:g:h:H:k:K:l:L:m:M:o:p:P:r:Rs:St:T:vwxX")) > 0) {
        size_t i = 0, n = sizeof parameters / sizeof *parameters;
        while (i < n && parameters[i].letter != letter)
            i++;
        if (i < n)
            override(f, parameters[i].parameter,
                     str_of(parameters[i].value ? parameters[i].value : optarg));
        else
            set_other(f, letter, &files);
    }
    if (optind >= argc)
        log_fatal(&f->log, 1, "%s", usage);
    override(f, "smtp_tls_trust_anchor_file", str_trim(files.anchors));
    override(f, "smtp_tls_chain_files", str_trim(files.chains));
    override(f, "smtp_tls_cert_file", files.certificate.n ? files.certificate : files.key);
    override(f, "smtp_tls_key_file", files.key.n ? files.key : files.certificate);
    f->o.destination = str_of(argv[optind++]);
    f->o.match = STR("");
    for (; optind < argc; optind++)
        f->o.match = arena_printf(f->arena, STR_FMT " %s", STR_ARG(f->o.match), argv[optind]);
}
