/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The authorities of client certificates, and their revocation lists.
 */
#ifndef VPN_FRONTEND_CLIENT_AUTHORITIES_H
#define VPN_FRONTEND_CLIENT_AUTHORITIES_H

#include "gateway.h"

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

/* Asks clients for a certificate if the host has authorities. -EINVAL: `error` has the reason. */
int gw_tls_ask_for_certificate(WOLFSSL_CTX *context, const struct gw_tls_host *host, char *error, size_t error_size);

#endif
