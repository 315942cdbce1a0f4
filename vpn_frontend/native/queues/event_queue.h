/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The queue of events to Python, bounded by its sources. A connection that Python knows counts against max_connections until
 * Python has read the event of its end. Its data is bounded by flow control. All other events answer a command. Only the ends of
 * connections that Python never knew are dropped when the queue is long.
 */
#ifndef VPN_FRONTEND_EVENT_QUEUE_H
#define VPN_FRONTEND_EVENT_QUEUE_H

#include "gateway.h"

#include <pthread.h>
#include <stdbool.h>

#define GW_EVENT_MAX_DATA (GW_EXPORTS_SIZE + GW_PEER_CERTIFICATE_MAX)    /* bytes; the payload of GW_CONNECTION_UP */
#define GW_EVENTS_SHED_AT 1024u     /* events waiting, from which on optional ones are dropped */
#define GW_EVENTS_SPARE 1024u       /* preallocated for when memory is out; 0.5 MB, untouched until then */

struct gw_queued_event;

struct gw_event_queue {
    pthread_mutex_t lock;
    struct gw_queued_event *head, *tail;
    uint32_t count;
    struct gw_queued_event *spares, *spare;     /* all of them (owned), and the first free one */
    int fd;                         /* eventfd, readable while the queue is not empty */
};

int gw_event_queue_init(struct gw_event_queue *queue);
void gw_event_queue_free(struct gw_event_queue *queue);
/* Bytes that an event with this payload takes. Flow control counts them: a peer could fill memory with events of one byte. */
size_t gw_event_cost(size_t data_size);
/* Copies the event and `event->data_size` bytes of `data`. -ENOBUFS: the event is `optional` and the queue is long. -EMSGSIZE: too
 * much data. -ENOMEM: an event without data that is not `optional` then takes a spare, and fails only when none is left. */
int gw_event_push(struct gw_event_queue *queue, const struct gw_event *event, const void *data, bool optional);
/* Copies up to `count` events and their data, packed, as far as they fit. Returns how many. */
int gw_event_pop(struct gw_event_queue *queue, struct gw_event *events, uint32_t count, uint8_t *data, size_t data_size);

#endif
