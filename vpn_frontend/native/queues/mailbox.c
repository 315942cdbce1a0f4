/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "queues/mailbox.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

int gw_mailbox_init(struct gw_mailbox *box)
{
    memset(box, 0, sizeof(*box));
    box->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (box->fd < 0)
        return -errno;
    pthread_mutex_init(&box->lock, NULL);
    return 0;
}

static void free_list(struct gw_message *message)
{
    while (message) {
        struct gw_message *next = message->next;

        free(message);
        message = next;
    }
}

void gw_mailbox_free(struct gw_mailbox *box)
{
    free_list(box->head);
    free_list(box->routes);
    box->head = box->tail = box->routes = box->last_route = NULL;
    if (box->fd >= 0) {
        close(box->fd);
        pthread_mutex_destroy(&box->lock);
    }
    box->fd = -1;
}

struct gw_message *gw_message_new(enum gw_message_kind kind, const void *data, size_t size)
{
    struct gw_message *message = malloc(sizeof(*message) + size);

    if (!message)
        return NULL;
    memset(message, 0, sizeof(*message));
    message->kind = kind;
    message->size = size;
    if (data && size)
        memcpy(message->data, data, size);
    return message;
}

static bool has_room(const struct gw_mailbox *box, const struct gw_message *message)
{
    if (message->kind == GW_MSG_BATCH || message->kind == GW_MSG_DATAGRAMS)
        return box->batches < GW_MAILBOX_BATCHES;
    if (message->kind == GW_MSG_SEND || message->kind == GW_MSG_SESSION_OPEN || message->kind == GW_MSG_ATTACH)
        return box->bytes + message->size + sizeof(*message) <= GW_MAILBOX_BYTES;
    return true;                    /* these end or account for something that was admitted before */
}

/* This and the next require the lock. */
static void append(struct gw_mailbox *box, struct gw_message *message)
{
    message->next = NULL;
    if (box->tail)
        box->tail->next = message;
    else
        box->head = message;
    box->tail = message;
    box->bytes += message->size + sizeof(*message);
    if (message->kind == GW_MSG_BATCH || message->kind == GW_MSG_DATAGRAMS)
        box->batches++;
}

/* Gives the lock back, then wakes the reader with `wanted`: it takes the lock at once. The reader may find nothing left. */
static void unlock_and_wake(struct gw_mailbox *box, bool wanted)
{
    bool needed = wanted && !box->woken;

    box->woken |= wanted;
    pthread_mutex_unlock(&box->lock);
    if (needed)
        eventfd_write(box->fd, 1);
}

static int put(struct gw_mailbox *box, struct gw_message *message, bool at_once)
{
    bool room;

    pthread_mutex_lock(&box->lock);
    room = has_room(box, message);
    if (room)
        append(box, message);
    unlock_and_wake(box, room && at_once);
    return room ? 0 : -ENOBUFS;
}

int gw_mailbox_post(struct gw_mailbox *box, struct gw_message *message)
{
    return put(box, message, true);
}

int gw_mailbox_put(struct gw_mailbox *box, struct gw_message *message)
{
    return put(box, message, false);
}

void gw_mailbox_hand_over(struct gw_mailbox *box, struct gw_message *message, uint32_t *owner, uint32_t to)
{
    pthread_mutex_lock(&box->lock);
    append(box, message);
    __atomic_store_n(owner, to, __ATOMIC_RELEASE);
    unlock_and_wake(box, true);
}

void gw_mailbox_wake(struct gw_mailbox *box)
{
    pthread_mutex_lock(&box->lock);
    unlock_and_wake(box, box->head != NULL);
}

void gw_mailbox_kick(struct gw_mailbox *box)
{
    pthread_mutex_lock(&box->lock);
    unlock_and_wake(box, true);
}

void gw_mailbox_put_route(struct gw_mailbox *box, struct gw_message *route)
{
    route->next = NULL;
    pthread_mutex_lock(&box->lock);
    if (box->routes)
        box->last_route->next = route;
    else
        __atomic_store_n(&box->routes, route, __ATOMIC_RELEASE);
    box->last_route = route;
    unlock_and_wake(box, ++box->route_count >= GW_MAILBOX_ROUTES);
}

struct gw_message *gw_mailbox_take_routes(struct gw_mailbox *box)
{
    struct gw_message *list;

    if (!__atomic_load_n(&box->routes, __ATOMIC_ACQUIRE))
        return NULL;
    pthread_mutex_lock(&box->lock);
    list = box->routes;
    __atomic_store_n(&box->routes, NULL, __ATOMIC_RELAXED);
    box->last_route = NULL;
    box->route_count = 0;
    pthread_mutex_unlock(&box->lock);
    return list;
}

struct gw_message *gw_mailbox_take(struct gw_mailbox *box)
{
    struct gw_message *list;
    eventfd_t ignored;

    pthread_mutex_lock(&box->lock);
    eventfd_read(box->fd, &ignored);
    list = box->head;
    box->head = box->tail = NULL;
    box->bytes = 0;
    box->batches = 0;
    box->woken = false;
    pthread_mutex_unlock(&box->lock);
    return list;
}
