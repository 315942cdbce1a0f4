/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The gateway's use of wolfSSL for DTLS. Three ways to authenticate the client of a session:
 *
 *   PSK         the key is exported from the session's TLS connection ("PSK-NEGOTIATE"); DTLS 1.2 or 1.3, static PSK or with DHE
 *   RESUMPTION  the client chose a master secret and sent it over TLS; DTLS 1.2 resumes a session made from it
 *               ("X-DTLS12-CipherSuite")
 *   CERTIFICATE a DTLS 1.3 handshake with the server's certificate, and a proof behind it ("X-DTLS13-CipherSuite", dtls/proof.h)
 *
 * An object is made for one client of one session after the client has echoed the cookie. It reads one datagram at a time from
 * its `io` and writes whole records to it.
 */
#ifndef VPN_FRONTEND_DTLS_CONTEXT_H
#define VPN_FRONTEND_DTLS_CONTEXT_H

#include "dtls/cookie.h"
#include "dtls/proof.h"
#include "gateway.h"
#include "tls/context.h"
#include "tls/hosts.h"

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#define GW_DTLS_PSK_SIZE 32u
#define GW_DTLS_MASTER_SIZE 48u
#define GW_DTLS_HANDSHAKE_MTU 1200u     /* bytes of our handshake datagrams: with an IPv6 header they pass any path */
#define GW_DTLS_OVERHEAD_MAX 64u        /* bytes, at least: record header, explicit nonce, tag and type byte */

struct gw_dtls_io {
    const uint8_t *datagram;            /* received, not taken by wolfSSL yet; NULL: none */
    size_t datagram_size;
    int (*write)(void *owner, const uint8_t *datagram, size_t size);    /* 0 or a negative errno */
    void *owner;
    const struct gw_dtls_config *config;
    struct gw_signature *signature;     /* of a handshake with a certificate; NULL: none is made */
};

struct gw_dtls_contexts {
    WOLFSSL_CTX *psk, *resumption;
    struct gw_tls_holder *hosts;        /* not owned: the hosts have the contexts of their certificates */
};

struct gw_dtls_facts {
    uint16_t version;                   /* 0xfefd, 0xfefc */
    char cipher[48];
};

enum gw_dtls_result {
    GW_DTLS_DONE = 1,
    GW_DTLS_WANT = 0,                   /* the datagram was taken, or discarded */
    GW_DTLS_CLOSED = -1,                /* close_notify or a fatal alert */
    GW_DTLS_BROKEN = -2,
};

/* Returns a context with the host's first certificate, owned by the caller; NULL: `error` has the reason. */
WOLFSSL_CTX *gw_dtls_context_new(const struct gw_tls_host *host, char *error, size_t error_size);
/* `hosts` is set already. After a failure, too, gw_dtls_contexts_free is due. */
int gw_dtls_contexts_init(struct gw_dtls_contexts *contexts, bool fips, char *error, size_t error_size);
void gw_dtls_contexts_free(struct gw_dtls_contexts *contexts);

/* Returns an object that accepts a ClientHello with a cookie made with `secret` over `peer`. `io` must outlive it. NULL: out of
 * memory. */
WOLFSSL *gw_dtls_new(struct gw_dtls_contexts *contexts, struct gw_dtls_io *io, const uint8_t secret[GW_COOKIE_SECRET_SIZE],
                     const void *peer, size_t peer_size);
enum gw_dtls_result gw_dtls_accept(WOLFSSL *ssl);
/* Checks the cookie of a DTLS 1.3 ClientHello, statelessly. 1: the cookie is good. 0: `reply` has a HelloRetryRequest of
 * *reply_size bytes; 0 bytes: do not answer. `mode`: GW_DTLS_PSK or _CERTIFICATE, as the ClientHello looks; the session plays no
 * part yet. */
int gw_dtls_retry13(struct gw_dtls_contexts *contexts, enum gw_dtls_mode mode, const uint8_t secret[GW_COOKIE_SECRET_SIZE],
                    const void *peer, size_t peer_size, const uint8_t *hello, size_t size, uint8_t *reply, size_t *reply_size);
/* Once, after GW_DTLS_DONE. `mtu`: the largest payload for gw_dtls_write. 0 or a negative errno. */
int gw_dtls_finish(WOLFSSL *ssl, uint32_t mtu, struct gw_dtls_facts *facts);
/* Reads the payload of one record. *size is set with GW_DTLS_DONE. */
enum gw_dtls_result gw_dtls_read(WOLFSSL *ssl, uint8_t *out, size_t capacity, size_t *size);
int gw_dtls_write(WOLFSSL *ssl, const uint8_t *payload, size_t size);

#endif
