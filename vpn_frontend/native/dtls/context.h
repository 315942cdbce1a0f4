/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * wolfSSL as the gateway uses it for DTLS. Three ways to prove that a client is the one of a session:
 *
 *   PSK         the key is exported from the session's TLS connection ("PSK-NEGOTIATE"); DTLS 1.2 or 1.3, static PSK or with DHE
 *   RESUMPTION  the client made up a master secret and told it over TLS; DTLS 1.2 "resumes" what never was ("X-DTLS12-CipherSuite")
 *   CERTIFICATE a handshake of DTLS 1.3 with the server's certificate, and a proof behind it ("X-DTLS13-CipherSuite", dtls_proof.h)
 *
 * An object is made for one client of one session, after the client has echoed the cookie. It reads one datagram at a time from
 * its `io` and writes whole records through it.
 */
#ifndef VPN_FRONTEND_DTLS_CONTEXT_H
#define VPN_FRONTEND_DTLS_CONTEXT_H

#include "dtls/cookie.h"
#include "dtls/proof.h"
#include "gateway.h"
#include "tls/context.h"

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#define GW_DTLS_PSK_SIZE 32u
#define GW_DTLS_MASTER_SIZE 48u
#define GW_DTLS_HANDSHAKE_MTU 1200u     /* bytes of a datagram of ours in a handshake: passes any path with an IPv6 header */
#define GW_DTLS_OVERHEAD_MAX 64u        /* record header, explicit nonce, tag, and the type byte, with room */

struct gw_dtls_io {
    const uint8_t *datagram;            /* received, not yet taken by wolfSSL; NULL: none */
    size_t datagram_size;
    int (*write)(void *owner, const uint8_t *datagram, size_t size);    /* 0 or a negative errno */
    void *owner;
    const struct gw_dtls_config *config;
};

struct gw_dtls_contexts {
    WOLFSSL_CTX *psk, *resumption;
    struct gw_tls_holder certificate;
};

struct gw_dtls_facts {
    uint16_t version;                   /* 0xfefd, 0xfefc */
    char cipher[48];
};

enum gw_dtls_result {
    GW_DTLS_DONE = 1,
    GW_DTLS_WANT = 0,                   /* the datagram was taken, or thrown away as none of ours */
    GW_DTLS_CLOSED = -1,                /* close_notify or a fatal alert */
    GW_DTLS_BROKEN = -2,
};

/* What a holder of certificates is given: NULL, and `error` says why. */
WOLFSSL_CTX *gw_dtls_context_new(const struct gw_tls *tls, char *error, size_t error_size);
int gw_dtls_contexts_init(struct gw_dtls_contexts *contexts, char *error, size_t error_size);
void gw_dtls_contexts_free(struct gw_dtls_contexts *contexts);

/* NULL: out of memory. `io` must outlive it. A hello that echoes a cookie made with `secret` over `peer` is taken at once. */
WOLFSSL *gw_dtls_new(struct gw_dtls_contexts *contexts, struct gw_dtls_io *io, const uint8_t secret[GW_COOKIE_SECRET_SIZE],
                     const void *peer, size_t peer_size);
enum gw_dtls_result gw_dtls_accept(WOLFSSL *ssl);
/* A DTLS 1.3 hello, answered or found to echo a good cookie without anything kept: 1 the cookie is good; 0 with a HelloRetryRequest
 * of *reply_size bytes, which is 0 where there is nothing to say. `way`: what the hello looks like, GW_DTLS_PSK or _CERTIFICATE;
 * which session it is for plays no part yet. */
int gw_dtls_retry13(struct gw_dtls_contexts *contexts, enum gw_dtls_mode mode, const uint8_t secret[GW_COOKIE_SECRET_SIZE],
                    const void *peer, size_t peer_size, const uint8_t *hello, size_t size, uint8_t *reply, size_t *reply_size);
/* After GW_DTLS_DONE, once. `mtu`: the largest payload of a record that gw_dtls_write is to take. */
int gw_dtls_finish(WOLFSSL *ssl, uint32_t mtu, struct gw_dtls_facts *facts);
/* The payload of one record, where the result is GW_DTLS_DONE. */
enum gw_dtls_result gw_dtls_read(WOLFSSL *ssl, uint8_t *out, size_t capacity, size_t *size);
int gw_dtls_write(WOLFSSL *ssl, const uint8_t *payload, size_t size);

#endif
