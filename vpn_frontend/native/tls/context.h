/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * wolfSSL as the gateway uses it: one server context shared by all workers and replaced as a whole, and objects whose
 * input and output are memory: `feed` on the way in, the connection's outbox on the way out.
 */
#ifndef VPN_FRONTEND_TLS_H
#define VPN_FRONTEND_TLS_H

#include "gateway.h"

#include <pthread.h>
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#define GW_EXPORTER_SIZE 32u        /* bytes of each key that is exported for DTLS */

/* A counted reference to the context in force. */
struct gw_tls_holder {
    pthread_mutex_t lock;
    WOLFSSL_CTX *context;
};

/* What the IO callbacks of an object read from and write to. */
struct gw_tls_io {
    const uint8_t *feed;            /* received, not yet taken by wolfSSL */
    size_t feed_size;
    int (*write)(void *owner, const uint8_t *data, size_t size);    /* 0 or a negative errno */
    void *owner;
};

struct gw_tls_facts {
    uint16_t version;               /* 0x0303, 0x0304 */
    uint16_t resumed;
    char cipher[48];
    uint8_t exporter[2][GW_EXPORTER_SIZE];  /* the pre-shared key of a session, and the key of its proof (dtls_proof.h) */
};

enum gw_tls_result {
    GW_TLS_DONE = 1,
    GW_TLS_WANT = 0,                /* everything fed was taken, more is needed */
    GW_TLS_CLOSED = -1,             /* close_notify, or the peer gave up with an alert */
    GW_TLS_BROKEN = -2,             /* what came is not TLS, or not ours, or memory is out */
};

int gw_tls_library_init(void);
/* A context with the certificate; NULL, and `error` says why. */
WOLFSSL_CTX *gw_tls_context_new(const struct gw_tls *tls, char *error, size_t error_size);
int gw_tls_use_certificate(WOLFSSL_CTX *context, const struct gw_tls *tls, char *error, size_t error_size);
/* Takes the context, and lets the one before go. */
void gw_tls_holder_set(struct gw_tls_holder *holder, WOLFSSL_CTX *context);
/* A reference to be freed; NULL: there is none. */
WOLFSSL_CTX *gw_tls_holder_take(struct gw_tls_holder *holder);
void gw_tls_holder_free(struct gw_tls_holder *holder);

/* An object of `context`; NULL: out of memory. */
WOLFSSL *gw_tls_object(WOLFSSL_CTX *context);
/* NULL: out of memory or no context. Freed with wolfSSL_free. `io` must outlive it. */
WOLFSSL *gw_tls_new(struct gw_tls_holder *holder, struct gw_tls_io *io);
enum gw_tls_result gw_tls_accept(WOLFSSL *ssl);
/* After GW_TLS_DONE, once: reads the facts, then gives back the memory that only the handshake needed. */
int gw_tls_finish(WOLFSSL *ssl, struct gw_tls_facts *facts);
/* Up to one record into `out`; *size is what came, where the result is GW_TLS_DONE. */
enum gw_tls_result gw_tls_read(WOLFSSL *ssl, uint8_t *out, size_t capacity, size_t *size);
/* One record per 16 KiB. */
int gw_tls_write(WOLFSSL *ssl, const uint8_t *data, size_t size);
/* Queues a KeyUpdate that asks for the peer's in turn (RFC 8446 section 4.6.3); -ENOTSUP before TLS 1.3. */
int gw_tls_rekey(WOLFSSL *ssl);
/* The host name a whole ClientHello names; "" where there is none or the hello is not whole. */
void gw_tls_server_name(const uint8_t *hello, size_t size, char out[256]);

#endif
