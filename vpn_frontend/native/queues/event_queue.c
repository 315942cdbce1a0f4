/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "queues/event_queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct gw_queued_event {
    struct gw_queued_event *next;
    struct gw_event event;
    uint8_t data[];
};

int gw_event_queue_init(struct gw_event_queue *queue)
{
    queue->head = queue->tail = NULL;
    queue->count = 0;
    queue->spares = queue->spare = calloc(GW_EVENTS_SPARE, sizeof(*queue->spares));
    if (!queue->spares)
        return -ENOMEM;
    queue->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (queue->fd < 0)
        return -errno;
    pthread_mutex_init(&queue->lock, NULL);
    return 0;
}

/* A spare that was given back points to the next free one. One that was never used has NULL there: the next is its neighbour. */
static struct gw_queued_event *take_spare(struct gw_event_queue *queue)
{
    struct gw_queued_event *node;

    pthread_mutex_lock(&queue->lock);
    node = queue->spare == queue->spares + GW_EVENTS_SPARE ? NULL : queue->spare;
    if (node)
        queue->spare = node->next ? node->next : node + 1;
    pthread_mutex_unlock(&queue->lock);
    return node;
}

/* Requires the lock. What a client sent before its tunnel may hold a password. */
static void give_back(struct gw_event_queue *queue, struct gw_queued_event *node)
{
    explicit_bzero(node->data, node->event.data_size);
    if (node < queue->spares || node >= queue->spares + GW_EVENTS_SPARE) {
        free(node);
        return;
    }
    node->next = queue->spare;
    queue->spare = node;
}

void gw_event_queue_free(struct gw_event_queue *queue)
{
    while (queue->head) {
        struct gw_queued_event *node = queue->head;

        queue->head = node->next;
        give_back(queue, node);
    }
    free(queue->spares);
    if (queue->fd >= 0) {
        close(queue->fd);
        pthread_mutex_destroy(&queue->lock);
    }
    queue->fd = -1;
}

size_t gw_event_cost(size_t data_size)
{
    return sizeof(struct gw_queued_event) + data_size;
}

int gw_event_push(struct gw_event_queue *queue, const struct gw_event *event, const void *data, bool optional)
{
    struct gw_queued_event *node;
    bool wake;

    if (event->data_size > GW_EVENT_MAX_DATA)
        return -EMSGSIZE;
    if (optional && __atomic_load_n(&queue->count, __ATOMIC_RELAXED) >= GW_EVENTS_SHED_AT)
        return -ENOBUFS;
    node = malloc(gw_event_cost(event->data_size));
    if (!node && !optional && !event->data_size)
        node = take_spare(queue);
    if (!node)
        return -ENOMEM;
    node->next = NULL;
    node->event = *event;
    if (event->data_size)
        memcpy(node->data, data, event->data_size);

    pthread_mutex_lock(&queue->lock);
    wake = !queue->head;
    if (queue->tail)
        queue->tail->next = node;
    else
        queue->head = node;
    queue->tail = node;
    __atomic_store_n(&queue->count, queue->count + 1, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&queue->lock);
    if (wake)                       /* without the lock, which the reader takes at once; it may find nothing left */
        eventfd_write(queue->fd, 1);
    return 0;
}

int gw_event_pop(struct gw_event_queue *queue, struct gw_event *events, uint32_t count, uint8_t *data, size_t data_size)
{
    uint32_t taken = 0;

    pthread_mutex_lock(&queue->lock);
    while (taken < count && queue->head && queue->head->event.data_size <= data_size) {
        struct gw_queued_event *node = queue->head;

        events[taken++] = node->event;
        if (node->event.data_size)
            memcpy(data, node->data, node->event.data_size);
        data += node->event.data_size;
        data_size -= node->event.data_size;
        queue->head = node->next;
        give_back(queue, node);
    }
    __atomic_store_n(&queue->count, queue->count - taken, __ATOMIC_RELAXED);
    if (!queue->head) {
        eventfd_t ignored;

        queue->tail = NULL;
        eventfd_read(queue->fd, &ignored);
    }
    pthread_mutex_unlock(&queue->lock);
    return (int)taken;
}
