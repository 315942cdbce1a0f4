/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The gateway's use of wolfSSL for TLS: the context of a certificate (tls/hosts.h has all of them), and connections. Those are
 * sans-IO: wolfSSL reads received bytes from `feed` and writes records to the connection's send queue.
 */
#ifndef VPN_FRONTEND_TLS_CONTEXT_H
#define VPN_FRONTEND_TLS_CONTEXT_H

#include "gateway.h"
#include "tls/signing.h"

#include <stdbool.h>
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

/* Exporter labels (RFC 8446 section 7.5) of a TLS connection. Clients are told these names. */
#define GW_PSK_LABEL "EXPORTER-openconnect-psk"
#define GW_BINDING_LABEL "EXPORTER-Channel-Binding"     /* RFC 9266 */
#define GW_PROOF_KEY_LABEL "EXPORTER-ocsentry-dtls13-key"

/* What the IO callbacks of a WOLFSSL object read from and write to. */
struct gw_tls_io {
    const uint8_t *feed;            /* received, not taken by wolfSSL yet */
    size_t feed_size;
    int (*write)(void *owner, const uint8_t *data, size_t size);    /* 0 or a negative errno */
    void *owner;
};

/* `exporter`, `finished` and `certificate` are adjacent: together they are the payload of GW_CONNECTION_UP. */
struct gw_tls_facts {
    uint16_t version;               /* 0x0303, 0x0304 */
    uint16_t resumed;
    char cipher[48];
    size_t certificate_size;        /* bytes; 0: the peer sent none */
    int certificate_signature;      /* how its issuer signed it: enum Ctc_SigType of wolfSSL */
    uint8_t exporter[3 * GW_EXPORTER_SIZE];     /* the pre-shared key of DTLS, the key of its proof (dtls/proof.h), the binding */
    uint8_t finished[1 + GW_FINISHED_MAX];      /* size and bytes of the peer's Finished message */
    uint8_t certificate[GW_PEER_CERTIFICATE_MAX];   /* of the peer, DER */
};

enum gw_tls_result {
    GW_TLS_DONE = 1,
    GW_TLS_WANT = 0,                /* all input was taken, more is needed; or a signature is awaited */
    GW_TLS_CLOSED = -1,             /* close_notify, or an alert of the peer */
    GW_TLS_BROKEN = -2,             /* malformed or unacceptable input, or out of memory */
};

int gw_tls_library_init(void);
/* Returns a context with the certificate, owned by the caller; NULL: `error` has the reason. */
WOLFSSL_CTX *gw_tls_context_new(const struct gw_tls_host *host, const struct gw_certificate *certificate, const char *ciphers,
                                char *error, size_t error_size);
/* Sets chain and key, or the key's id in the signing process; -EINVAL: `error` has the reason. */
int gw_tls_use_certificate(WOLFSSL_CTX *context, const struct gw_certificate *certificate, char *error, size_t error_size);
/* Allows DHE suites, which are refused otherwise; -EINVAL: `error` has the reason. */
int gw_tls_use_dhe(WOLFSSL_CTX *context, char *error, size_t error_size);

/* Returns an object of `context`, freed with wolfSSL_free; NULL: out of memory. */
WOLFSSL *gw_tls_object(WOLFSSL_CTX *context);
/* Returns an object for a server's connection, or with `acme` for a validation (RFC 8737). `io` and `signature` must outlive it. NULL:
 * out of memory. */
WOLFSSL *gw_tls_new(WOLFSSL_CTX *context, bool acme, struct gw_tls_io *io, struct gw_signature *signature);
enum gw_tls_result gw_tls_accept(WOLFSSL *ssl);
/* After GW_TLS_DONE: reads those of the certificate alone. -EPROTO; -EMSGSIZE: it exceeds GW_PEER_CERTIFICATE_MAX. */
int gw_tls_read_certificate(WOLFSSL *ssl, struct gw_tls_facts *facts);
/* Once, after GW_TLS_DONE: reads the facts, then frees the memory that only the handshake and they need. Errors as above. */
int gw_tls_finish(WOLFSSL *ssl, struct gw_tls_facts *facts);
/* Reads up to one record. *size is its payload's, with GW_TLS_DONE. */
enum gw_tls_result gw_tls_read(WOLFSSL *ssl, uint8_t *out, size_t capacity, size_t *size);
/* Writes one record per 16 KiB. */
int gw_tls_write(WOLFSSL *ssl, const uint8_t *data, size_t size);
/* Queues a KeyUpdate that asks for the peer's (RFC 8446 section 4.6.3); -ENOTSUP before TLS 1.3. */
int gw_tls_rekey(WOLFSSL *ssl);

#endif
