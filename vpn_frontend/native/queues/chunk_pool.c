/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "queues/chunk_pool.h"

#include <stdlib.h>

struct gw_chunk *gw_chunk_take(struct gw_chunk_pool *pool)
{
    struct gw_chunk *chunk = pool->free;

    if (chunk) {
        pool->free = chunk->next;
        pool->count--;
    } else {
        chunk = malloc(sizeof(*chunk));
        if (!chunk)
            return NULL;
    }
    chunk->next = NULL;
    chunk->start = chunk->end = 0;
    return chunk;
}

void gw_chunk_give(struct gw_chunk_pool *pool, struct gw_chunk *chunk)
{
    if (pool->count >= GW_CHUNKS_KEPT) {
        free(chunk);
        return;
    }
    chunk->next = pool->free;
    pool->free = chunk;
    pool->count++;
}

void gw_chunk_pool_free(struct gw_chunk_pool *pool)
{
    while (pool->free) {
        struct gw_chunk *chunk = pool->free;

        pool->free = chunk->next;
        free(chunk);
    }
    pool->count = 0;
}
