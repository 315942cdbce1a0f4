/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "queues/batch_pool.h"

#include <stdlib.h>

struct gw_batch *gw_batch_take(struct gw_batch_pool *pool)
{
    struct gw_batch *batch;

    pthread_mutex_lock(&pool->lock);
    batch = pool->free;
    if (batch) {
        pool->free = batch->next;
        pool->count--;
    }
    pthread_mutex_unlock(&pool->lock);
    if (!batch)
        batch = malloc(sizeof(*batch));
    if (batch)
        batch->size = 0;
    return batch;
}

void gw_batch_give(struct gw_batch_pool *pool, struct gw_batch *batch)
{
    pthread_mutex_lock(&pool->lock);
    if (pool->count < GW_BATCHES_KEPT) {
        batch->next = pool->free;
        pool->free = batch;
        pool->count++;
        batch = NULL;
    }
    pthread_mutex_unlock(&pool->lock);
    free(batch);
}

void gw_batch_pool_free(struct gw_batch_pool *pool)
{
    while (pool->free) {
        struct gw_batch *batch = pool->free;

        pool->free = batch->next;
        free(batch);
    }
}
