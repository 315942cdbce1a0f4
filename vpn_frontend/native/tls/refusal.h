/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Why a TLS context cannot be made, in one line for the operator.
 */
#ifndef VPN_FRONTEND_TLS_REFUSAL_H
#define VPN_FRONTEND_TLS_REFUSAL_H

#include <stddef.h>

/* Writes `what`, and wolfSSL's text for `code` unless that is 0 or WOLFSSL_SUCCESS. Returns -EINVAL. */
int gw_tls_refuse(char *error, size_t error_size, const char *what, int code);

#endif
