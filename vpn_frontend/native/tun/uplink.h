/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Inner packets from clients to the TUN queue.
 */
#ifndef VPN_FRONTEND_UPLINK_H
#define VPN_FRONTEND_UPLINK_H

#include "runtime/worker.h"

enum gw_transport { GW_OVER_TLS, GW_OVER_DTLS };

/* Checks a packet of the session's client, counts it and writes it to the TUN queue. A refused one is dropped and counted. */
void gw_uplink_take(struct gw_worker *worker, struct gw_session *session, const uint8_t *packet, size_t size,
                    enum gw_transport transport);

#endif
