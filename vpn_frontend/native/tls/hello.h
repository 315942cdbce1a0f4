/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A ClientHello over TCP (RFC 8446 section 4.1.2), read before wolfSSL gets it: it chooses the host and the certificate. Pure.
 *
 * Only a hello in one record is read. In several it names no host and offers nothing, so the first host's first certificate
 * answers it.
 */
#ifndef VPN_FRONTEND_TLS_HELLO_H
#define VPN_FRONTEND_TLS_HELLO_H

#include "gateway.h"

#include <stdbool.h>

#define GW_ALPN_ACME "acme-tls/1"
#define GW_TLS_RECORD_HEADER 5u
#define GW_TLS_HELLO_MAX (GW_TLS_RECORD_HEADER + 16384u)   /* bytes of the largest record */

struct gw_tls_hello {
    char server_name[GW_SERVER_NAME_SIZE];  /* SNI in lower case; "": none, or none that is a name */
    bool tls13;
    bool extended_master_secret;    /* RFC 7627 */
    bool signatures_named;          /* it says which signatures it verifies */
    bool ecdhe_rsa, ecdhe_ecdsa, dhe;   /* kinds of TLS 1.2 suites */
    bool no_curves;                 /* it has a list of groups without an elliptic curve */
    bool p384, other_curves;        /* the list has P-384; and curves that are not of NIST, such as X25519 */
    bool finite_share;              /* TLS 1.3: it has a key share of a group of RFC 7919 */
    bool acme;                      /* its only application protocol is acme-tls/1 (RFC 8737) */
    uint32_t keys;                  /* 1 << enum gw_key_type: the keys whose TLS 1.3 signatures it verifies */
    bool rsa_pkcs1, ecdsa;          /* TLS 1.2: likewise RSA, and ECDSA on any curve */
};

/* Bytes of the first record, as far as `data` shows it: more are needed until `size` reaches it. 0: it holds no ClientHello. */
size_t gw_tls_hello_wanted(const uint8_t *data, size_t size);
/* Reads a whole record. False: it is no whole ClientHello, and `hello` is empty. */
bool gw_tls_hello_read(const uint8_t *record, size_t size, struct gw_tls_hello *hello);
/* True if the client verifies a signature of such a key, in the highest version that it offers. */
bool gw_tls_hello_accepts(const struct gw_tls_hello *hello, enum gw_key_type type);
/* True if only a key exchange over a finite field is possible, or the client computed one already. Such a handshake costs several
 * times as much as another. */
bool gw_tls_hello_needs_dhe(const struct gw_tls_hello *hello);

#endif
