/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The virtual hosts with their contexts: one for each certificate. All workers share them. They never change, and are replaced as
 * a whole. The ClientHello chooses before wolfSSL gets it, so nothing of one host, tickets included, is known to another's context.
 */
#ifndef VPN_FRONTEND_TLS_HOSTS_H
#define VPN_FRONTEND_TLS_HOSTS_H

#include "gateway.h"
#include "tls/hello.h"

#include <pthread.h>
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

struct gw_tls_certificate {
    WOLFSSL_CTX *context;           /* owned, as the other contexts */
    uint32_t key_type;              /* enum gw_key_type */
    uint8_t *ocsp;                  /* owned; NULL: none */
    size_t ocsp_size;
};

struct gw_tls_host_contexts {
    char name[GW_SERVER_NAME_SIZE];
    struct gw_tls_certificate certificates[GW_CERTIFICATES_MAX];
    uint32_t certificate_count;
    bool fips;                      /* as struct gw_tls_host */
    WOLFSSL_CTX *dhe;               /* with suites over a finite field; NULL: none */
    WOLFSSL_CTX *datagrams;         /* DTLS 1.3 with the first certificate */
};

struct gw_tls_hosts {
    uint32_t references;            /* atomic */
    uint32_t count;
    struct gw_tls_host_contexts hosts[];
};

/* The present hosts, and what handshakes over finite fields have used. */
struct gw_tls_holder {
    pthread_mutex_t lock;
    struct gw_tls_hosts *hosts;     /* owned; NULL: none yet */
    uint64_t dhe_free_at;           /* atomic: ns when all of the budget is free again */
};

/* Returns the hosts without `datagrams`, with one reference; NULL: `error` has the reason. */
struct gw_tls_hosts *gw_tls_hosts_new(const struct gw_tls *tls, char *error, size_t error_size);
/* NULL is allowed. */
void gw_tls_hosts_release(struct gw_tls_hosts *hosts);
/* Returns the index of the host with that name, or 0. */
uint32_t gw_tls_hosts_find(const struct gw_tls_hosts *hosts, const char *name);
/* Returns the context for such a client of host `host`; NULL: none fits. */
WOLFSSL_CTX *gw_tls_hosts_choose(const struct gw_tls_hosts *hosts, uint32_t host, const struct gw_tls_hello *hello);

void gw_tls_holder_init(struct gw_tls_holder *holder);
void gw_tls_holder_free(struct gw_tls_holder *holder);
/* Takes the hosts and releases those before. Thread safe, as are the next two. */
void gw_tls_holder_set(struct gw_tls_holder *holder, struct gw_tls_hosts *hosts);
/* Returns a reference, which the caller releases; NULL: there are no hosts. */
struct gw_tls_hosts *gw_tls_holder_take(struct gw_tls_holder *holder);
/* Takes one handshake of the budget of GW_DHE_PER_SECOND. False: it is used up. */
bool gw_tls_holder_take_dhe(struct gw_tls_holder *holder, uint64_t now);

#endif
