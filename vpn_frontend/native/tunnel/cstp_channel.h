/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The TLS channel of a session: CSTP frames from the client.
 */
#ifndef VPN_FRONTEND_CSTP_CHANNEL_H
#define VPN_FRONTEND_CSTP_CHANNEL_H

#include "connections/connection.h"

/* Makes the connection the channel of the session: sends the HTTP answer `head`, then handles `early`, the bytes that came behind
 * the CONNECT. The channel before is closed. Does nothing for a connection that is closing. */
void gw_cstp_channel_begin(struct gw_connection *connection, struct gw_session *session, const uint8_t *head, size_t head_size,
                           const uint8_t *early, size_t early_size);

#endif
