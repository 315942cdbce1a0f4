/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * UDP demultiplexer. A worker has one unconnected socket per address of the server, shared by all clients. A datagram is
 *
 *   a ClientHello    the policy is asked, the session is found by name, a cookie is demanded; nothing is kept without it
 *   of a known path  given to the session of that path
 *   of another path  given to the session that alone has a client at this address, whose port may have changed (NAT), or dropped
 *
 * The kernel spreads clients over the workers by their addresses; a session begins where its first TCP connection was accepted.
 * Datagrams that arrive elsewhere are posted in batches until the session has migrated (migration.h). Answers leave from the
 * session's own worker.
 */
#ifndef VPN_FRONTEND_UDP_DEMUX_H
#define VPN_FRONTEND_UDP_DEMUX_H

#include "dtls/udp_port.h"
#include "runtime/worker.h"

/* NULL: `error` has the reason. */
struct gw_dtls_hub *gw_dtls_hub_new(uint32_t max_sessions, char *error, size_t error_size);
void gw_dtls_hub_free(struct gw_dtls_hub *hub);

/* Takes the descriptor on success. Before the worker starts. */
int gw_udp_demux_add(struct gw_worker *worker, int fd);
/* The number of sockets, equal for all workers that run. */
uint32_t gw_udp_demux_sockets(const struct gw_worker *worker);
void gw_udp_demux_free(struct gw_worker *worker);
void gw_udp_demux_ready(struct gw_worker *worker, struct gw_udp_listener *listener);
/* Handles datagrams that another worker received, and gives the batch back. */
void gw_udp_demux_take_batch(struct gw_worker *worker, struct gw_batch *batch);
/* At the end of a turn: sends what was gathered for other workers and for clients. */
void gw_udp_demux_flush(struct gw_worker *worker);

#endif
