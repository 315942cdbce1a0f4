/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Input of a connection: handshake, then records for Python or for the owner.
 */
#ifndef VPN_FRONTEND_TLS_INPUT_H
#define VPN_FRONTEND_TLS_INPUT_H

#include "connections/connection.h"

#define GW_PRE_TUNNEL_INPUT 16384u      /* bytes read at once before the tunnel, so that flow control overshoots by no more */
#define GW_HANDSHAKES_PER_TURN 8u       /* steps of handshakes in a turn of the loop, 0.3 ms each */

/* Handles epoll's `events`. */
void gw_connection_ready(struct gw_connection *connection, uint32_t events);

#endif
