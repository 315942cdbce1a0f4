/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What FIPS 140-3 leaves of TLS beside the list of suites: NIST curves, RSA from 2048 bits, ECC from P-256, certificates signed with
 * SHA-2, and in TLS 1.2 the extended master secret (FIPS 140-3 IG D.Q, RFC 7627). The limits hold with every wolfSSL, with a FIPS module or without.
 */
#ifndef VPN_FRONTEND_TLS_FIPS_LIMITS_H
#define VPN_FRONTEND_TLS_FIPS_LIMITS_H

#include "tls/hello.h"

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

/* Before certificates are loaded: key exchange and keys of certificates, ours and the peers'. -EINVAL: `error` has the reason. */
int gw_fips_limit_context(WOLFSSL_CTX *context, char *error, size_t error_size);
/* A client whose TLS 1.2 could be without the extended master secret, or by a curve that is not of NIST, gets TLS 1.3 or no
 * connection. -EPROTO: that cannot be set. */
int gw_fips_limit_object(WOLFSSL *ssl, const struct gw_tls_hello *hello);
/* True if a client's certificate may be signed so (enum Ctc_SigType): wolfSSL itself takes SHA-1 too (SP 800-131A section 9). */
bool gw_fips_approves_signature(int type);

#endif
