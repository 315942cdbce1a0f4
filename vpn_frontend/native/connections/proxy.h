/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Connections of listed proxies: the header that names the client, then the policy's question about the client.
 */
#ifndef VPN_FRONTEND_PROXY_H
#define VPN_FRONTEND_PROXY_H

#include "connections/connection.h"

/* True: connections of `peer` begin with a PROXY header. */
bool gw_is_proxy(const struct gw *gateway, const uint8_t peer[16]);
/* Takes input of a connection in PROXY_HEADER. After the header the connection is in HANDSHAKE, its peer is the client, and
 * *data is what follows. False: there is nothing for the handshake; the connection may have ended. */
bool gw_proxy_take_header(struct gw_connection *connection, const uint8_t **data, size_t *size);
/* The proxy closed a connection in PROXY_HEADER. */
void gw_proxy_closed(struct gw_connection *connection);

#endif
