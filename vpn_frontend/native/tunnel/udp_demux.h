/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * UDP demultiplexer. A worker has one unconnected socket per address of the server, shared by all clients. A datagram is
 *
 *   a ClientHello    the policy is asked, the session is found by name, a cookie is demanded; no state is kept before it
 *   of a known path  passed to the session of that path
 *   of another path  passed to the session of the only client at this address, whose port may have changed (NAT); else dropped
 *
 * The kernel spreads clients over the workers by their addresses; a session begins where its first TCP connection was accepted.
 * Datagrams that arrive elsewhere are posted in batches until the session has migrated (migration.h). Answers leave from the
 * session's own worker.
 */
#ifndef VPN_FRONTEND_UDP_DEMUX_H
#define VPN_FRONTEND_UDP_DEMUX_H

#include "dtls/udp_port.h"
#include "runtime/worker.h"

/* Receives and handles datagrams, up to a bound per turn. */
void gw_udp_demux_ready(struct gw_worker *worker, struct gw_udp_listener *listener);
/* Handles datagrams that another worker received, and gives the batch back. */
void gw_udp_demux_take_batch(struct gw_worker *worker, struct gw_batch *batch);
/* At the end of a turn: sends what was gathered for other workers and for clients. */
void gw_udp_demux_flush(struct gw_worker *worker);

#endif
