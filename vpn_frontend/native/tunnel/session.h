/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The life of a session on the worker that owns it.
 */
#ifndef VPN_FRONTEND_SESSION_H
#define VPN_FRONTEND_SESSION_H

#include "runtime/worker.h"

#define GW_ALIVE_FOR (2 * GW_SECOND)    /* a client heard within this time is not probed */

void gw_session_begin(struct gw_worker *worker, uint64_t id);
/* Takes the TLS channel off the session: it is the caller's. NULL: there was none. */
struct gw_connection *gw_session_take_channel(struct gw_session *session);
/* The TLS channel is lost for `cause`: sends GW_CHANNEL_DOWN with `payload`. The connection is the caller's. */
void gw_session_lost_channel(struct gw_worker *worker, struct gw_session *session, enum gw_cause cause,
                             const uint8_t *payload, size_t size);
/* Sends `frame`, closes the channels, sends GW_SESSION_CLOSED with the final counters and frees the slot. */
void gw_session_end(struct gw_worker *worker, struct gw_session *session, const uint8_t *frame, size_t size);
/* Sends GW_SESSION_ALIVE to Python once the client is heard. */
void gw_session_probe(struct gw_worker *worker, struct gw_session *session);
/* To be called when something of the session may have become due earlier: it has another channel. */
void gw_session_hasten(struct gw_worker *worker, struct gw_session *session);
/* DPD, rekeying and idleness of the sessions for which they are due. */
void gw_sessions_tick(struct gw_worker *worker);

#endif
