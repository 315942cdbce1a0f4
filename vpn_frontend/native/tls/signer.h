/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The keys of the signing process, and the signatures made with them. Each worker has its own signer and thread there. The commands
 * of gateway.h are for Python's threads.
 */
#ifndef VPN_FRONTEND_TLS_SIGNER_H
#define VPN_FRONTEND_TLS_SIGNER_H

#include "gateway.h"
#include "signing/request.h"

/* Checks and carries out one packet of `size` bytes. Returns the bytes of the answer, which is always complete. */
size_t gw_signer_answer(gw_signer *signer, const struct gw_sign_request *request, size_t size, struct gw_sign_answer *answer);

#endif
