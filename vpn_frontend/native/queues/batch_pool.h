/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Batches: buffers in which one worker gathers packets or datagrams for another. All workers share the pool of free ones.
 */
#ifndef VPN_FRONTEND_BATCH_POOL_H
#define VPN_FRONTEND_BATCH_POOL_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#define GW_BATCH_SIZE 131072u       /* bytes */
#define GW_BATCHES_KEPT 64u         /* free batches that the pool keeps: 8 MiB */

struct gw_batch {
    struct gw_batch *next;
    size_t size;
    uint8_t data[GW_BATCH_SIZE];    /* their form: handoff.c (packets), dtls/udp_port.h (datagrams) */
};

struct gw_batch_pool {              /* one lock per batch, not per packet */
    pthread_mutex_t lock;
    struct gw_batch *free;
    uint32_t count;
};

/* Returns an empty batch, or NULL: out of memory. The caller owns it until gw_batch_give. */
struct gw_batch *gw_batch_take(struct gw_batch_pool *pool);
void gw_batch_give(struct gw_batch_pool *pool, struct gw_batch *batch);
void gw_batch_pool_free(struct gw_batch_pool *pool);

#endif
