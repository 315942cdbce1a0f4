/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * wolfSSL as the gateway uses it for DTLS. Three ways to prove that a client is the one of a session:
 *
 *   PSK         the key is exported from the session's TLS connection ("PSK-NEGOTIATE"); DTLS 1.2 or 1.3, static PSK or with DHE
 *   RESUMPTION  the client made up a master secret and told it over TLS; DTLS 1.2 "resumes" what never was ("X-DTLS12-CipherSuite")
 *
 * An object is made for one client of one session, after the client has echoed the cookie. It reads one datagram at a time from
 * its `io` and writes whole records through it.
 */
#ifndef VPN_FRONTEND_DTLS_CONTEXT_H
#define VPN_FRONTEND_DTLS_CONTEXT_H

#include "dtls_cookie.h"

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#define GW_DTLS_PSK_SIZE 32u
#define GW_DTLS_MASTER_SIZE 48u
#define GW_DTLS_HANDSHAKE_MTU 1200u     /* bytes of a datagram of ours in a handshake: passes any path with an IPv6 header */
#define GW_DTLS_OVERHEAD_MAX 64u        /* record header, explicit nonce, tag, and the type byte, with room */

enum gw_dtls_way { GW_DTLS_NONE = 0, GW_DTLS_PSK = 1, GW_DTLS_RESUMPTION = 2 };

/* What a session expects of its DTLS client. */
struct gw_dtls_config {
    uint32_t way;                       /* enum gw_dtls_way */
    uint8_t name[GW_DTLS_NAME_SIZE];    /* App-ID or session id: unguessable, unique among the sessions */
    uint8_t secret[GW_DTLS_MASTER_SIZE];    /* PSK: the first 32 bytes are the key. RESUMPTION: the master secret */
    uint8_t suite[2];                   /* RESUMPTION: as in TLS's registry */
};

struct gw_dtls_io {
    const uint8_t *datagram;            /* received, not yet taken by wolfSSL; NULL: none */
    size_t datagram_size;
    int (*write)(void *owner, const uint8_t *datagram, size_t size);    /* 0 or a negative errno */
    void *owner;
    const struct gw_dtls_config *config;
};

struct gw_dtls_contexts {
    WOLFSSL_CTX *psk, *resumption;
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

int gw_dtls_contexts_init(struct gw_dtls_contexts *contexts, char *error, size_t error_size);
void gw_dtls_contexts_free(struct gw_dtls_contexts *contexts);
/* The suites of the resumption way by the names that AnyConnect uses, best first; NULL: no more. */
const char *gw_dtls_suite_name(unsigned index);
int gw_dtls_suite_find(const char *name, uint8_t suite[2]);

/* NULL: out of memory. `io` must outlive it. A hello that echoes a cookie made with `secret` over `peer` is taken at once. */
WOLFSSL *gw_dtls_new(const struct gw_dtls_contexts *contexts, struct gw_dtls_io *io, const uint8_t secret[GW_COOKIE_SECRET_SIZE],
                     const void *peer, size_t peer_size);
enum gw_dtls_result gw_dtls_accept(WOLFSSL *ssl);
/* After GW_DTLS_DONE, once. `mtu`: the largest payload of a record that gw_dtls_write is to take. */
int gw_dtls_finish(WOLFSSL *ssl, uint32_t mtu, struct gw_dtls_facts *facts);
/* The payload of one record, where the result is GW_DTLS_DONE. */
enum gw_dtls_result gw_dtls_read(WOLFSSL *ssl, uint8_t *out, size_t capacity, size_t *size);
int gw_dtls_write(WOLFSSL *ssl, const uint8_t *payload, size_t size);

#endif
