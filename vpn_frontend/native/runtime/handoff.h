/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Inner packets read by one worker for sessions of another. A worker gathers them in batches and posts the batches once a turn.
 * The kernel steers a flow to the TUN queue that last wrote it, so a handoff is the exception.
 */
#ifndef VPN_FRONTEND_HANDOFF_H
#define VPN_FRONTEND_HANDOFF_H

#include "runtime/worker.h"

/* Copies the packet for worker `to`, which owns `session`. Without memory the packet is dropped and counted. */
void gw_handoff_add(struct gw_worker *worker, uint32_t to, uint64_t session, const uint8_t *packet, size_t size);
/* Posts the batches of this turn. */
void gw_handoff_flush(struct gw_worker *worker);

/* Iterates over a batch; *at is 0 at first. Copies the next packet to `packet` (GW_PACKET_MAX bytes). Returns its size; 0: none. */
size_t gw_handoff_next(const struct gw_batch *batch, size_t *at, uint64_t *session, uint8_t *packet);

#endif
