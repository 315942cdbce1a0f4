/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The bytes of a connection that the kernel has not taken yet: a chain of chunks. Many records leave in one send, and the unsent
 * tail is never moved. An idle connection holds no chunk.
 */
#ifndef VPN_FRONTEND_SEND_QUEUE_H
#define VPN_FRONTEND_SEND_QUEUE_H

#include "queues/chunk_pool.h"

#include <stddef.h>
#include <stdint.h>

struct gw_send_queue {
    struct gw_chunk *head, *tail;
    size_t size;
};

/* Appends all or nothing; -ENOMEM. -EMSGSIZE: more than GW_CHUNK_SIZE bytes. */
int gw_send_queue_push(struct gw_send_queue *queue, struct gw_chunk_pool *pool, const uint8_t *data, size_t size);
/* Sends what the socket takes. Returns the bytes sent, -EAGAIN: it took none, or another negative errno. */
long gw_send_queue_send(struct gw_send_queue *queue, struct gw_chunk_pool *pool, int fd);
void gw_send_queue_clear(struct gw_send_queue *queue, struct gw_chunk_pool *pool);

#endif
