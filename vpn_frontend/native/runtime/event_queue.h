/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The queue of events to Python. Bounded by what can cause one: a connection that Python has heard of keeps its place among
 * `max_connections` until Python has read of its end, what it said and nobody read is limited by flow control, and everything else
 * answers a command of Python's. Only ends of connections that Python never heard of are shed when the queue is long.
 */
#ifndef VPN_FRONTEND_EVENTS_H
#define VPN_FRONTEND_EVENTS_H

#include "gateway.h"

#include <pthread.h>
#include <stdbool.h>

#define GW_EVENT_MAX_DATA (2u * GW_EXPORTER_SIZE + GW_PEER_CERTIFICATE_MAX)    /* bytes; the payload of GW_CONNECTION_UP */
#define GW_EVENTS_SHED_AT 1024u     /* events waiting beyond which unimportant ones are shed */
#define GW_EVENTS_SPARE 1024u       /* events that can still be told when memory is out; 0.5 MB, untouched until then */

struct gw_queued_event;

struct gw_event_queue {
    pthread_mutex_t lock;
    struct gw_queued_event *head, *tail;
    uint32_t count;
    struct gw_queued_event *spares, *spare;     /* all of them, and the first that is free */
    int fd;                         /* eventfd, readable while the queue is not empty */
};

int gw_event_queue_init(struct gw_event_queue *queue);
void gw_event_queue_free(struct gw_event_queue *queue);
/* What an event with so much payload costs: flow control counts it, or a peer would fill memory with pieces of one byte. */
size_t gw_event_cost(size_t data_size);
/* Copies the event and `event->data_size` bytes of `data`. -ENOBUFS: it is `optional` and the queue is long. -ENOMEM: out
 * of memory; an event without a payload that is not `optional` then takes a spare, and fails only when these are used up. */
int gw_event_push(struct gw_event_queue *queue, const struct gw_event *event, const void *data, bool optional);
int gw_event_pop(struct gw_event_queue *queue, struct gw_event *events, uint32_t count, uint8_t *data, size_t data_size);

#endif
