/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The bytes of a connection that the kernel has not taken yet: a chain of chunks, so that many records leave in one send and
 * the unsent tail stays where it is. An idle connection holds no chunk. Chunks come from a pool that each worker owns.
 */
#ifndef VPN_FRONTEND_OUTBOX_H
#define VPN_FRONTEND_OUTBOX_H

#include <stddef.h>
#include <stdint.h>

#define GW_CHUNK_SIZE 65520u        /* bytes; with its header a chunk fills 64 KiB; any TLS record fits into one */
#define GW_CHUNKS_KEPT 64u          /* free chunks a worker keeps: 4 MiB, the rest goes back to the allocator */

struct gw_chunk {
    struct gw_chunk *next;
    uint32_t start, end;            /* the bytes not sent yet */
    uint8_t data[GW_CHUNK_SIZE];
};

struct gw_chunk_pool {
    struct gw_chunk *free;
    uint32_t count;
};

struct gw_send_queue {
    struct gw_chunk *head, *tail;
    size_t size;
};

/* Appends all or nothing; -ENOMEM. */
int gw_send_queue_push(struct gw_send_queue *box, struct gw_chunk_pool *pool, const uint8_t *data, size_t size);
/* Sends what the socket takes; returns the bytes sent, or -EAGAIN when it took none, or another negative errno. */
long gw_send_queue_send(struct gw_send_queue *box, struct gw_chunk_pool *pool, int fd);
void gw_send_queue_clear(struct gw_send_queue *box, struct gw_chunk_pool *pool);
void gw_chunk_pool_free(struct gw_chunk_pool *pool);

#endif
