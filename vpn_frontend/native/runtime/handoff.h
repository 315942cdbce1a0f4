/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Packets that one worker read and a session of another one gets: gathered in batches, handed over through the mailbox
 * once a turn. The kernel steers a flow to the queue that last wrote it, so crossing is the exception.
 */
#ifndef VPN_FRONTEND_CROSSING_H
#define VPN_FRONTEND_CROSSING_H

#include "runtime/worker.h"

/* For worker `to`, which owns `session`; copied. */
void gw_handoff_add(struct gw_worker *worker, uint32_t to, uint64_t session, const uint8_t *packet, size_t size);
/* Hands what was gathered over. */
void gw_handoff_flush(struct gw_worker *worker);
/* Delivers what another worker gathered and gives the batch back. */
void gw_downlink_take_batch(struct gw_worker *worker, struct gw_batch *batch);
/* An empty batch; NULL: out of memory. */
struct gw_batch *gw_batch_take(struct gw_batch_pool *pool);
void gw_batch_give(struct gw_batch_pool *pool, struct gw_batch *batch);
void gw_batch_pool_free(struct gw_batch_pool *pool);

#endif
