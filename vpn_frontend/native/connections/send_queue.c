/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "connections/send_queue.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define IOV_PER_SEND 8              /* 512 KiB, more than any queue holds */

int gw_send_queue_push(struct gw_send_queue *queue, struct gw_chunk_pool *pool, const uint8_t *data, size_t size)
{
    if (size > GW_CHUNK_SIZE)
        return -EMSGSIZE;
    if (!queue->tail || GW_CHUNK_SIZE - queue->tail->end < size) {
        struct gw_chunk *chunk = gw_chunk_take(pool);

        if (!chunk)
            return -ENOMEM;
        if (queue->tail)
            queue->tail->next = chunk;
        else
            queue->head = chunk;
        queue->tail = chunk;
    }
    memcpy(queue->tail->data + queue->tail->end, data, size);
    queue->tail->end += (uint32_t)size;
    queue->size += size;
    return 0;
}

static void consume(struct gw_send_queue *queue, struct gw_chunk_pool *pool, size_t size)
{
    queue->size -= size;
    while (queue->head) {
        struct gw_chunk *chunk = queue->head;
        size_t waiting = chunk->end - chunk->start;

        if (size < waiting) {
            chunk->start += (uint32_t)size;
            return;
        }
        size -= waiting;
        queue->head = chunk->next;
        if (!queue->head)
            queue->tail = NULL;
        gw_chunk_give(pool, chunk);
    }
}

long gw_send_queue_send(struct gw_send_queue *queue, struct gw_chunk_pool *pool, int fd)
{
    long total = 0;

    while (queue->size) {
        struct iovec iov[IOV_PER_SEND];
        struct msghdr message = { .msg_iov = iov };
        size_t offered = 0;
        ssize_t sent;

        for (struct gw_chunk *c = queue->head; c && message.msg_iovlen < IOV_PER_SEND; c = c->next) {
            iov[message.msg_iovlen++] = (struct iovec){ c->data + c->start, c->end - c->start };
            offered += c->end - c->start;
        }
        sent = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return total && (errno == EAGAIN || errno == EWOULDBLOCK) ? total : -errno;
        consume(queue, pool, (size_t)sent);
        total += sent;
        if ((size_t)sent < offered)
            break;
    }
    return total;
}

void gw_send_queue_clear(struct gw_send_queue *queue, struct gw_chunk_pool *pool)
{
    consume(queue, pool, queue->size);
}
