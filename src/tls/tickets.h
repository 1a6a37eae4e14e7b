/* Session tickets of a server. Thread-safe. */
#pragma once

#include <openssl/evp.h>

#include "tls/manager.h"

struct tls_tickets;

/* lifetime: seconds that a key seals new tickets. RC_CONFIG: no such cipher. */
enum rc tls_tickets_new(struct str cipher, long lifetime, struct tls_manager *manager,
                        struct tls_tickets **out, struct why *why) MUST_USE;
void tls_tickets_free(struct tls_tickets *t);

/* The work of SSL_CTX_set_tlsext_ticket_key_evp_cb(). */
int tls_tickets_key(struct tls_tickets *t, unsigned char *name, unsigned char *iv,
                    EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int seal);
