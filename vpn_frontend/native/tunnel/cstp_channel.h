/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The tunnel on a connection: CSTP frames in both directions.
 */
#ifndef VPN_FRONTEND_CHANNEL_H
#define VPN_FRONTEND_CHANNEL_H

#include "runtime/worker.h"

enum gw_transport { GW_OVER_TLS, GW_OVER_DTLS };

/* Makes the connection the channel of the session, with the HTTP answer `head` before and the bytes `early` behind. */
void gw_cstp_channel_begin(struct gw_connection *connection, struct gw_session *session, const uint8_t *head, size_t head_size,
                      const uint8_t *early, size_t early_size);
void gw_cstp_channel_receive(struct gw_connection *connection, const uint8_t *data, size_t size);
/* An inner packet from the client, whichever way it came: checked, counted, passed on. */
void gw_uplink_take(struct gw_worker *worker, struct gw_session *session, const uint8_t *packet, size_t size,
                            enum gw_transport over);
/* An inner packet for the client; `packet` has GW_CSTP_HEADER bytes of room in front of it. Sent at the end of the turn. */
void gw_downlink_deliver(struct gw_worker *worker, struct gw_session *session, uint8_t *packet, size_t size, bool control);
/* A control frame without or with a payload. */
int gw_cstp_send_control(struct gw_connection *connection, enum gw_frame_type type, const uint8_t *payload, size_t size);

#endif
