/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * How the client of a DTLS 1.3 handshake with the server's certificate shows that it is the session's: such a handshake proves
 * the server alone, and the session's name is readable on the wire. Both ends know a key that was exported from the TLS
 * connection that carried CONNECT, and bytes exported from the DTLS connection; the proof is an HMAC of the one over the other,
 * so that it is good for this session in this connection only. The server answers with one of its own.
 */
#ifndef VPN_FRONTEND_DTLS_PROOF_H
#define VPN_FRONTEND_DTLS_PROOF_H

#include "dtls/hmac.h"

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#define GW_PROOF_KEY_SIZE 32u
#define GW_PROOF_BINDING_LABEL "EXPORTER-ocsentry-dtls13-proof" /* of the DTLS connection: 32 bytes of the client's, 32 of ours */

struct gw_proof {
    uint8_t expected[GW_HASH_SIZE], answer[GW_HASH_SIZE];
};

/* After the handshake, while wolfSSL keeps its secrets (wolfSSL_KeepArrays), which are given back. 0 or -EPROTO. */
int gw_proof_derive(WOLFSSL *ssl, const uint8_t key[GW_PROOF_KEY_SIZE], struct gw_proof *proof);

#endif
