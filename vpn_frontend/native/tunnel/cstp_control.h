/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * CSTP control frames over TLS.
 */
#ifndef VPN_FRONTEND_CSTP_CONTROL_H
#define VPN_FRONTEND_CSTP_CONTROL_H

#include "connections/connection.h"

/* Sends a control frame; `size` may be 0. -EMSGSIZE: the payload is too large. -EPIPE: the connection has ended. */
int gw_cstp_send_control(struct gw_connection *connection, enum gw_frame_type type, const uint8_t *payload, size_t size);

#endif
