/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The client's proof in DTLS 1.3 with the server's certificate. That handshake authenticates the server alone, and the session's
 * name is readable on the wire. Client and server know a key exported from the TLS connection that carried CONNECT, and bytes
 * exported from the DTLS connection. The proof is an HMAC of the bytes with the key, so it is valid for this session in this
 * connection only. The server answers with a proof of its own.
 */
#ifndef VPN_FRONTEND_DTLS_PROOF_H
#define VPN_FRONTEND_DTLS_PROOF_H

#include "dtls/hmac.h"

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#define GW_PROOF_KEY_SIZE 32u
#define GW_PROOF_BINDING_LABEL "EXPORTER-ocsentry-dtls13-proof" /* 32 bytes for the client's proof, 32 for ours */

struct gw_proof {
    uint8_t expected[GW_HASH_SIZE], answer[GW_HASH_SIZE];
};

/* After the handshake, once: requires wolfSSL_KeepArrays before it, and frees those arrays. 0 or -EPROTO. */
int gw_proof_derive(WOLFSSL *ssl, const uint8_t key[GW_PROOF_KEY_SIZE], struct gw_proof *proof);

#endif
