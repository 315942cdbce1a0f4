/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Messages between a worker and the process that has the private keys: one per packet of a Unix socket (SOCK_SEQPACKET). Both ends
 * are on one machine and of one build.
 */
#ifndef VPN_FRONTEND_SIGNING_REQUEST_H
#define VPN_FRONTEND_SIGNING_REQUEST_H

#include <stddef.h>
#include <stdint.h>

#define GW_SIGN_INPUT_MAX 512u      /* bytes; the longest: Ed25519 in TLS 1.2 signs randoms and key share, 201 bytes */
#define GW_SIGNATURE_MAX 1024u      /* RSA with 8192 bits */

/* What is to be signed. Digests are of SHA-1 (TLS 1.2 only) or SHA-2 with 256, 384 or 512 bits. */
enum gw_sign_scheme {
    GW_SIGN_ECDSA = 1,              /* a digest */
    GW_SIGN_RSA_PKCS1 = 2,          /* a DigestInfo (RFC 8017 section 9.2) */
    GW_SIGN_RSA_PSS = 3,            /* a digest of SHA-2 */
    GW_SIGN_ED25519 = 4,            /* a message */
};

struct gw_sign_request {
    uint64_t serial;                /* repeated in the answer */
    uint64_t key;                   /* id that gw_signer_add was given */
    uint32_t scheme;                /* enum gw_sign_scheme */
    uint32_t size;                  /* of the input */
    uint8_t input[GW_SIGN_INPUT_MAX];   /* the packet ends after `size` of them */
};

struct gw_sign_answer {
    uint64_t serial;
    int32_t status;                 /* 0, or a negative errno: refused or failed */
    uint32_t size;                  /* of the signature */
    uint8_t signature[GW_SIGNATURE_MAX];
};

#define GW_SIGN_REQUEST_HEAD offsetof(struct gw_sign_request, input)
#define GW_SIGN_ANSWER_HEAD offsetof(struct gw_sign_answer, signature)

#endif
