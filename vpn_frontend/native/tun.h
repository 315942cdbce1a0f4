/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The worker's queue of the TUN device (IFF_TUN | IFF_NO_PI | IFF_MULTI_QUEUE): what is read goes to the session that owns
 * the destination, here or on another worker. The kernel steers a flow to the queue that last wrote it, so the crossing
 * of workers is the exception.
 */
#ifndef VPN_FRONTEND_TUN_H
#define VPN_FRONTEND_TUN_H

#include "worker.h"

void gw_tun_ready(struct gw_worker *worker);
/* 0 or a negative errno; the packet was checked. */
int gw_tun_write(struct gw_worker *worker, const uint8_t *packet, size_t size);
/* Hands what was gathered for other workers over. */
void gw_tun_post_outgoing(struct gw_worker *worker);
/* Packets that another worker read. */
void gw_tun_take_batch(struct gw_worker *worker, struct gw_batch *batch);

void gw_batch_give(struct gw_batch_pool *pool, struct gw_batch *batch);
void gw_batch_pool_free(struct gw_batch_pool *pool);

#endif
