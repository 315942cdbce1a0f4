/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A worker's pool of the 64 KiB chunks that send queues are made of. One thread uses it.
 */
#ifndef VPN_FRONTEND_CHUNK_POOL_H
#define VPN_FRONTEND_CHUNK_POOL_H

#include <stdint.h>

#define GW_CHUNK_SIZE 65520u        /* bytes; with its header a chunk fills 64 KiB. Any TLS record fits into one */
#define GW_CHUNKS_KEPT 64u          /* free chunks that a worker keeps: 4 MiB. Further ones go back to the allocator */

struct gw_chunk {
    struct gw_chunk *next;
    uint32_t start, end;            /* the bytes not sent yet */
    uint8_t data[GW_CHUNK_SIZE];
};

struct gw_chunk_pool {
    struct gw_chunk *free;
    uint32_t count;
};

/* Returns an empty chunk, or NULL: out of memory. The caller owns it until gw_chunk_give. */
struct gw_chunk *gw_chunk_take(struct gw_chunk_pool *pool);
void gw_chunk_give(struct gw_chunk_pool *pool, struct gw_chunk *chunk);
void gw_chunk_pool_free(struct gw_chunk_pool *pool);

#endif
