/* pki of several names: which certificate a client gets that asks for a server's name. */
#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <unistd.h>

#include "opensmtpd/generate.h"

static void add_name(struct generator *g, struct buf *b, const struct conf_pki *k, struct str name)
{
    if (str_has_prefix(name, STR("*.")))
        name = str_from(name, 1);
    if (name.n && str_index_any(name, "*/: \t") < 0)
        buf_addf(b, STR_FMT " " STR_FMT " " STR_FMT "\n", STR_ARG(arena_lower(g->arena, name)),
                 STR_ARG(k->key), STR_ARG(k->cert));
}

/* What cannot be read now gives an error when TLS starts, not here. */
static X509 *load(const struct conf_pki *k)
{
    FILE *f = fopen(k->cert.p, "re");
    X509 *certificate = f ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;

    if (f)
        (void)fclose(f);
    return certificate;
}

/* The pki's own name, and those in its certificate. */
static void add_names(struct generator *g, struct buf *b, const struct conf_pki *k)
{
    X509 *certificate = load(k);
    GENERAL_NAMES *names =
        certificate ? X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL) : NULL;

    buf_addf(b, "# " STR_FMT "\n", STR_ARG(generate_place(g, &k->place)));
    add_name(g, b, k, k->name);
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);
        struct str name;
        if (n->type != GEN_DNS)
            continue;
        name = (struct str){(const char *)ASN1_STRING_get0_data(n->d.dNSName),
                            (size_t)ASN1_STRING_length(n->d.dNSName)};
        if (!str_eq_nocase(name, k->name))
            add_name(g, b, k, name);
    }
    GENERAL_NAMES_free(names);
    X509_free(certificate);
}

/* What is there but may not be read by who only checks, is taken as good. */
static void check_file(struct generator *g, const struct conf_place *place, struct str path,
                       const char *what)
{
    if (access(path.p, F_OK) < 0 && (errno == ENOENT || errno == ENOTDIR))
        complain(g, place, "cannot load %s: " STR_FMT ": %m", what, STR_ARG(path));
}

static void check_files(struct generator *g)
{
    const struct conf *c = g->conf;

    for (size_t i = 0; i < c->pkis.n; i++) {
        const struct conf_pki *k = c->pkis.v[i];
        if (k->cert.n == 0 || k->key.n == 0) {
            complain(g, &k->place, "pki " STR_FMT ": missing %s file", STR_ARG(k->name),
                     k->cert.n ? "key" : "certificate");
            continue;
        }
        check_file(g, &k->place, k->cert, "certificate");
        check_file(g, &k->place, k->key, "key");
    }
    for (size_t i = 0; c->grammar != GRAMMAR_2011 && i < c->cas.n; i++)
        check_file(g, &c->cas.v[i]->place, c->cas.v[i]->cert, "CA file");
}

void generate_certificates(struct generator *g)
{
    const struct conf *c = g->conf;
    struct buf *b = NULL;

    check_files(g);
    if (c->grammar == GRAMMAR_2011 || c->pkis.n < 2)
        return;
    for (size_t i = 0; i < c->pkis.n; i++) {
        const struct conf_pki *k = c->pkis.v[i];
        if (b == NULL) {
            b = generate_file(g, "certificates", false);
            set(g, &k->place, "tls_server_sni_maps", "texthash:" STR_FMT "/certificates",
                STR_ARG(g->dir));
        }
        add_names(g, b, k);
    }
}
