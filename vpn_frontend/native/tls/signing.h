/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * wolfSSL's callbacks for signatures (PK callbacks): its handshakes get them from another process, by signing/link.h. A handshake
 * that has to wait returns WC_PENDING_E and is called again. wolfSSL then builds the same message and asks for the same signature.
 */
#ifndef VPN_FRONTEND_TLS_SIGNING_H
#define VPN_FRONTEND_TLS_SIGNING_H

#include "signing/link.h"

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

/* The context has a certificate without its key, whose id in the other process is `key`. */
void gw_signing_use_key(WOLFSSL_CTX *context, uint64_t key);
/* The signature that handshakes of this object, made from `context`, ask for. It must outlive them. */
void gw_signing_attach(WOLFSSL *ssl, WOLFSSL_CTX *context, struct gw_signature *signature);
/* For a context with DHE suites of TLS 1.2: wolfSSL makes a key pair each time that it builds the message. */
void gw_signing_keep_dh(WOLFSSL_CTX *context);
/* wolfSSL_accept with the callbacks above. */
int gw_signing_accept(WOLFSSL *ssl);

#endif
