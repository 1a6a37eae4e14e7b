#include <stdio.h>

#include "posttls-finger/finger.h"

#ifdef HAVE_OPENSSL
#    include <openssl/pem.h>
#    include <openssl/ssl.h>

static void print_name(const char *word, X509_NAME *name)
{
    char *line = X509_NAME_oneline(name, NULL, 0);

    printf("%s%s\n", word, line ? line : "");
    OPENSSL_free(line);
}

void chain_print(struct finger *f, const struct tls_session *t)
{
    STACK_OF(X509) *chain = SSL_get_peer_cert_chain(t->ssl);
    const char *digest = f->config->smtp_tls_fingerprint_digest.p;

    printf("\n---\nCertificate chain\n");
    for (int i = 0; chain && i < sk_X509_num(chain); i++) {
        X509 *x = sk_X509_value(chain, i);
        char head[40];
        snprintf(head, sizeof head, "%2d subject: ", i);
        print_name(head, X509_get_subject_name(x));
        print_name("    issuer: ", X509_get_issuer_name(x));
        printf("   cert digest=" STR_FMT "\n", STR_ARG(tls_fingerprint(x, digest, f->arena)));
        printf("   pkey digest=" STR_FMT "\n", STR_ARG(tls_key_fingerprint(x, digest, f->arena)));
        PEM_write_X509(stdout, x);
    }
}

#else

void chain_print(struct finger *f, const struct tls_session *t)
{
    (void)f, (void)t;
}

#endif
