/* Both ends over a socket pair, with keys made here. */
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config/config.h"
#include "tls/tls.h"
#include "unit/unit.h"

static char dir[] = "/tmp/test_tls.XXXXXX";
static struct log quiet;

static char *path_of(const char *name)
{
    static char path[4][256];
    static int next;
    char *p = path[next++ % 4];

    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

static void make_pair(const char *name, EVP_PKEY *key, const char *cn, long from, long to)
{
    X509 *x = X509_new();
    X509_NAME *n = X509_get_subject_name(x);
    FILE *f;

    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 7);
    X509_gmtime_adj(X509_getm_notBefore(x), from);
    X509_gmtime_adj(X509_getm_notAfter(x), to);
    X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0);
    X509_set_issuer_name(x, n);
    X509_set_pubkey(x, key);
    X509_sign(x, key, EVP_sha256());
    f = fopen(path_of(name), "w");
    PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
    PEM_write_X509(f, x);
    fclose(f);
    X509_free(x);
}

static void write_text(const char *name, const char *text)
{
    FILE *f = fopen(path_of(name), "w");
    fputs(text, f);
    fclose(f);
}

static int setup(void **state)
{
    EVP_PKEY *rsa, *ec;
    FILE *f;

    (void)state;
    assert_non_null(mkdtemp(dir));
    rsa = EVP_RSA_gen(2048);
    ec = EVP_EC_gen("prime256v1");
    make_pair("rsa.pem", rsa, "mx.example", -60, 86400);
    make_pair("ec.pem", ec, "ec.example", -60, 86400);
    make_pair("old.pem", rsa, "mx.example", -86400, -60);
    f = fopen(path_of("eckey.pem"), "w");
    PEM_write_PrivateKey(f, ec, NULL, NULL, 0, NULL, NULL);
    fclose(f);
    f = fopen(path_of("locked.pem"), "w");
    PEM_write_PrivateKey(f, ec, EVP_aes_128_cbc(), (const unsigned char *)"x", 1, NULL, NULL);
    fclose(f);
    write_text("empty.pem", "nothing here\n");
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ec);
    return 0;
}

static int teardown(void **state)
{
    char command[300];

    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

/* name=value lines as main.cf; @ stands for the directory */
static struct config *config_of(const char *lines)
{
    char text[4096];
    size_t n = 0;
    struct config_request request = {.dir = "/nonexistent"};
    struct config *c = NULL;
    struct str main_cf;
    struct why why;

    for (const char *p = lines; *p; p++)
        if (*p == '@')
            n += (size_t)snprintf(text + n, sizeof text - n, "%s", dir);
        else
            text[n++] = *p;
    main_cf = (struct str){text, n};
    request.main_cf = &main_cf;
    if (config_load(&request, &c, &why) != RC_OK)
        fail_msg("%s", why.text);
    return c;
}

static struct tls_context *context_of(enum tls_role role, const struct config *c)
{
    struct tls_options o = {.role = role,
                            .prefix = role == TLS_SERVER ? "smtpd_tls_" : "smtp_tls_",
                            .cache = role == TLS_SERVER ? "smtpd" : "smtp"};
    struct tls_context *t = NULL;
    struct why why;

    if (tls_context_new(&o, c, &quiet, &t, &why) != RC_OK)
        fail_msg("%s", why.text);
    return t;
}

static const char *const binding_types[] = {"tls-exporter", "tls-unique", "tls-server-end-point"};

static void find_bindings(const struct tls_session *t, struct arena *a, struct str *out)
{
    for (size_t i = 0; i < COUNT(binding_types); i++)
        if (tls_channel_data(t, binding_types[i], a, &out[i]) != RC_OK)
            out[i] = STR_NONE;
}

struct server {
    struct tls_context *context;
    struct tls_server_request request;
    int fd;
    struct arena *a;
    struct tls_session seen;
    struct str bindings[3];
    char line[64];
    enum rc rc;
    struct why why;
};

static void *serve(void *argument)
{
    struct server *s = argument;
    struct tls_session *t = NULL;
    struct stream stream;
    struct str line;

    stream_init(&stream, s->fd, 5000);
    s->rc = tls_accept(s->context, &stream, &s->request, s->a, &t, &s->why);
    if (s->rc == RC_OK) {
        s->seen = *t;
        find_bindings(t, s->a, s->bindings);
        s->rc = stream_line(&stream, 60, &line, NULL, &s->why);
        if (s->rc == RC_OK) {
            snprintf(s->line, sizeof s->line, STR_FMT, STR_ARG(line));
            stream_putf(&stream, "you said %s\r\n", s->line);
            s->rc = stream_flush(&stream, &s->why);
        }
    }
    stream_done(&stream);
    return NULL;
}

/* One conversation; what the client saw. */
static struct tls_session converse(struct server *s, struct tls_context *client,
                                   struct tls_client_request *request, struct arena *a)
{
    struct tls_session *t = NULL, seen;
    struct stream stream;
    struct str line, bindings[3] = {0};
    struct why why;
    pthread_t thread;
    int fds[2];

    assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
    s->fd = fds[0];
    s->request.label = "client";
    s->request.timeout_ms = 5000;
    request->label = "server";
    request->timeout_ms = 5000;
    pthread_create(&thread, NULL, serve, s);
    stream_init(&stream, fds[1], 5000);
    if (tls_connect(client, &stream, request, a, &t, &why) != RC_OK)
        fail_msg("%s", why.text);
    seen = *t;
    find_bindings(t, a, bindings);
    stream_put(&stream, STR("hello\r\n"));
    if (stream_line(&stream, 100, &line, NULL, &why) != RC_OK)
        fail_msg("%s", why.text);
    assert_str(line, "you said hello");
    stream_done(&stream);
    pthread_join(thread, NULL);
    assert_int_equal(RC_OK, s->rc);
    for (size_t i = 0; i < COUNT(bindings); i++)
        if (!str_eq(bindings[i], s->bindings[i]))
            fail_msg("the ends disagree about %s", binding_types[i]);
    assert_int_equal(32, bindings[0].n);
    assert_int_equal(str_eq(seen.protocol, STR("TLSv1.2")), bindings[1].n > 0);
    assert_int_equal(32, bindings[2].n);
    return seen;
}

static void both_ends_agree(void **state)
{
    struct config *c = config_of(
        "smtpd_tls_chain_files = @/rsa.pem @/ec.pem\n"
        "compatibility_level = 3.6\nsmtpd_tls_CAfile = @/ec.pem\nsmtp_tls_CAfile = @/rsa.pem\n"
        "smtp_tls_cert_file = @/ec.pem\n");
    struct tls_context *server = context_of(TLS_SERVER, c), *client = context_of(TLS_CLIENT, c);
    AUTO_ARENA b = arena_new(1024);
    struct server s = {.context = server, .request = {.ask_certificate = true}, .a = b};
    struct tls_client_request r = {.sni = "mx.example"};
    AUTO_ARENA a = arena_new(1024);
    struct tls_session seen = converse(&s, client, &r, a);

    (void)state;
    assert_str(seen.protocol, "TLSv1.3");
    assert_str(seen.cipher, "TLS_AES_256_GCM_SHA384");
    assert_int_equal(256, seen.bits);
    assert_str(seen.key_exchange, "X25519");
    assert_str(seen.server_signature, "ECDSA (prime256v1)");
    assert_str(seen.server_digest, "SHA256");
    assert_str(seen.client_signature, "ECDSA (prime256v1)");
    assert_int_equal(TLS_UNTRUSTED, seen.trust); /* the EC certificate is not in the CA file */
    assert_str(seen.subject, "ec.example");
    assert_str(s.seen.subject, "ec.example");
    assert_int_equal(TLS_TRUSTED, s.seen.trust);
    assert_str(s.seen.server_name, "mx.example");
    assert_str(s.seen.client_signature, "ECDSA (prime256v1)");
    assert_true(str_eq(seen.fingerprint, s.seen.fingerprint)); /* the same certificate */
    assert_int_equal(95, seen.fingerprint.n);
    assert_true(str_eq(seen.key_fingerprint, s.seen.key_fingerprint));
    assert_str(tls_describe(&seen, a), "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)");
    tls_context_free(server);
    tls_context_free(client);
    config_free(c);
}

static void older_protocol(void **state)
{
    struct config *c = config_of("smtpd_tls_cert_file = @/rsa.pem\n"
                                 "smtpd_tls_protocols = <=TLSv1.2\nsmtp_tls_CAfile = @/rsa.pem\n");
    struct tls_context *server = context_of(TLS_SERVER, c), *client = context_of(TLS_CLIENT, c);
    AUTO_ARENA b = arena_new(1024);
    struct server s = {.context = server, .a = b};
    struct tls_client_request r = {0};
    AUTO_ARENA a = arena_new(1024);
    struct tls_session seen = converse(&s, client, &r, a);

    (void)state;
    assert_str(seen.protocol, "TLSv1.2");
    assert_str(seen.key_exchange, "");
    assert_int_equal(TLS_TRUSTED, seen.trust);
    assert_int_equal(TLS_ANONYMOUS, s.seen.trust);
    tls_context_free(server);
    tls_context_free(client);
    config_free(c);
}

static const struct {
    const char *lines, *words;
} wrong[] = {
    {"smtpd_tls_cert_file = @/none.pem\n", "none.pem does not exist"},
    {"smtpd_tls_cert_file = @/empty.pem\n", "no private key in it"},
    {"smtpd_tls_cert_file = @/rsa.pem\nsmtpd_tls_key_file = @/eckey.pem\n", "belong together"},
    {"smtpd_tls_cert_file = @/rsa.pem\nsmtpd_tls_key_file = @/locked.pem\n", "is encrypted"},
    {"smtpd_tls_chain_files = @/eckey.pem @/rsa.pem\n", "two keys without"},
    {"smtpd_tls_chain_files = @/eckey.pem\n", "no certificate follows"},
    {"smtpd_tls_chain_files = @/old.pem\n", "has expired"},
    {"smtpd_tls_CAfile = @/empty.pem\n", "smtpd_tls_CAfile: cannot read"},
    {"smtpd_tls_protocols = >=TLSv9\n", "unknown TLS protocol \"TLSv9\""},
    {"smtpd_tls_protocols = >=TLSv1.3, <=TLSv1.1\n", "no TLS protocol is left"},
    {"smtpd_tls_exclude_ciphers = !aNULL\n", "bad name of an excluded cipher"},
    {"smtpd_tls_exclude_ciphers = ALL\n", "knows no cipher of"},
    {"tls_medium_cipherlist = FOO\n", "knows no cipher of"},
    {"smtpd_tls_fingerprint_digest = sha9\n", "no digest \"sha9\""},
    {"tls_ssl_options = NO_FUN\n", "unknown option \"NO_FUN\""},
    {"tls_disable_workarounds = 0x1g\n", "unknown option"},
    {"smtpd_tls_dh1024_param_file = @/rsa.pem\n", "no DH parameters"},
    {"smtpd_tls_ccert_verifydepth = -1\n", "ccert_verifydepth"},
    {"tls_session_ticket_cipher = rot13\n", "tls_session_ticket_cipher"},
};

static void mistakes_have_words(void **state)
{
    struct tls_options o = {
        .role = TLS_SERVER, .prefix = "smtpd_tls_", .cache = "smtpd", .strict = true};

    (void)state;
    for (size_t i = 0; i < COUNT(wrong); i++) {
        struct config *c = config_of(wrong[i].lines);
        struct tls_context *t = NULL;
        struct why why = {0};
        if (tls_context_new(&o, c, &quiet, &t, &why) != RC_CONFIG)
            fail_msg("%s: accepted", wrong[i].lines);
        if (strstr(why.text, wrong[i].words) == NULL)
            fail_msg("%s: %s", wrong[i].lines, why.text);
        config_free(c);
    }
}

static const struct {
    const char *text;
    enum rc rc;
    int min, max;
    unsigned long off;
} protocols[] = {
    {"", RC_OK, 0, 0, 0},
    {">=TLSv1.2", RC_OK, 0x303, 0, 0},
    {">=TLSv1.1, <=TLSv1.2", RC_OK, 0x302, 0x303, 0},
    {">=0304", RC_OK, 0x304, 0, 0},
    {"!SSLv2, !SSLv3", RC_OK, 0, 0, 1UL << 25},
    {"!SSLv2:!TLSv1", RC_OK, 0, 0, 1UL << 26},
    {"TLSv1.2 TLSv1.3", RC_OK, 0, 0, 1UL << 25 | 1UL << 26 | 1UL << 28},
    {"tlsv1.3", RC_OK, 0, 0, 1UL << 25 | 1UL << 26 | 1UL << 27 | 1UL << 28},
    {"TLSv2", RC_CONFIG, 0, 0, 0},
    {">=", RC_CONFIG, 0, 0, 0},
    {">=03zz", RC_CONFIG, 0, 0, 0},
};

static void protocol_lists(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(protocols); i++) {
        struct tls_protocols p = {0};
        if (tls_protocols_parse(str_of(protocols[i].text), &p, NULL) != protocols[i].rc ||
            p.min != protocols[i].min || p.max != protocols[i].max || p.off != protocols[i].off)
            fail_msg("\"%s\": %x %x %lx", protocols[i].text, p.min, p.max, p.off);
    }
}

static void cipher_lists(void **state)
{
    struct config *c = config_of("tls_high_cipherlist = HIGH\n");
    AUTO_ARENA a = arena_new(256);
    const char *list = NULL;

    (void)state;
    assert_int_equal(RC_OK, tls_cipher_list(c, STR("HIGH"), STR("RC4, MD5:aNULL"), a, &list, NULL));
    assert_string_equal("HIGH:!RC4:!MD5:!aNULL", list);
    assert_int_equal(RC_OK, tls_cipher_list(c, STR("export"), STR(""), a, &list, NULL));
    assert_non_null(strstr(list, "MEDIUM"));
    assert_int_equal(RC_CONFIG, tls_cipher_list(c, STR("best"), STR(""), a, &list, NULL));
    config_free(c);
}

static const struct {
    const char *text;
    enum rc rc;
    unsigned bits;
} levels[] = {
    {"0", RC_OK, 0},  {"", RC_OK, 0},          {"1", RC_OK, 1},     {"2", RC_OK, 3},
    {"4", RC_OK, 15}, {"1, trace", RC_OK, 17}, {"5", RC_CONFIG, 0}, {"loud", RC_CONFIG, 0},
};

static void log_levels(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(levels); i++) {
        unsigned bits = 0;
        assert_int_equal(levels[i].rc, tls_loglevel_parse(str_of(levels[i].text), &bits, NULL));
        assert_int_equal(levels[i].bits, bits);
    }
}

static void digests(void **state)
{
    AUTO_ARENA a = arena_new(256);

    (void)state;
    assert_str(tls_digest(STR("abc"), "md5", a), "90:01:50:98:3C:D2:4F:B0:D6:96:3F:7D:28:E1:7F:72");
    assert_int_equal(RC_OK, tls_digest_check(STR("sha512"), NULL));
    assert_int_equal(RC_CONFIG, tls_digest_check(STR("crc"), NULL));
    assert_int_equal(0, tls_digest(STR("abc"), "crc", a).n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ends_agree),
        cmocka_unit_test(older_protocol),
        cmocka_unit_test(mistakes_have_words),
        cmocka_unit_test(protocol_lists),
        cmocka_unit_test(cipher_lists),
        cmocka_unit_test(log_levels),
        cmocka_unit_test(digests),
    };
    struct log_options options = {.tag = "test", .only_stderr = true, .progname = "test"};

    log_open(&quiet, &options);
    return cmocka_run_group_tests(tests, setup, teardown);
}
