/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tls/send_queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define IOV_PER_SEND 8              /* 512 KiB, more than any outbox holds */

static struct gw_chunk *take(struct gw_chunk_pool *pool)
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

static void give(struct gw_chunk_pool *pool, struct gw_chunk *chunk)
{
    if (pool->count >= GW_CHUNKS_KEPT) {
        free(chunk);
        return;
    }
    chunk->next = pool->free;
    pool->free = chunk;
    pool->count++;
}

int gw_send_queue_push(struct gw_send_queue *box, struct gw_chunk_pool *pool, const uint8_t *data, size_t size)
{
    if (size > GW_CHUNK_SIZE)
        return -EMSGSIZE;
    if (!box->tail || GW_CHUNK_SIZE - box->tail->end < size) {
        struct gw_chunk *chunk = take(pool);

        if (!chunk)
            return -ENOMEM;
        if (box->tail)
            box->tail->next = chunk;
        else
            box->head = chunk;
        box->tail = chunk;
    }
    memcpy(box->tail->data + box->tail->end, data, size);
    box->tail->end += (uint32_t)size;
    box->size += size;
    return 0;
}

static void consume(struct gw_send_queue *box, struct gw_chunk_pool *pool, size_t size)
{
    box->size -= size;
    while (box->head) {
        struct gw_chunk *chunk = box->head;
        size_t waiting = chunk->end - chunk->start;

        if (size < waiting) {
            chunk->start += (uint32_t)size;
            return;
        }
        size -= waiting;
        box->head = chunk->next;
        if (!box->head)
            box->tail = NULL;
        give(pool, chunk);
    }
}

long gw_send_queue_send(struct gw_send_queue *box, struct gw_chunk_pool *pool, int fd)
{
    long total = 0;

    while (box->size) {
        struct iovec iov[IOV_PER_SEND];
        struct msghdr message = { .msg_iov = iov };
        size_t offered = 0;
        ssize_t sent;

        for (struct gw_chunk *c = box->head; c && message.msg_iovlen < IOV_PER_SEND; c = c->next) {
            iov[message.msg_iovlen++] = (struct iovec){ c->data + c->start, c->end - c->start };
            offered += c->end - c->start;
        }
        sent = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return total && (errno == EAGAIN || errno == EWOULDBLOCK) ? total : -errno;
        consume(box, pool, (size_t)sent);
        total += sent;
        if ((size_t)sent < offered)
            break;
    }
    return total;
}

void gw_send_queue_clear(struct gw_send_queue *box, struct gw_chunk_pool *pool)
{
    consume(box, pool, box->size);
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
