/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The mailbox of a worker: messages from other threads, in order, read as whole lists. Commands are bounded by their bytes
 * (-ENOBUFS), batches by their number (the caller drops or keeps them). A migrating connection is bounded by max_connections.
 *
 * Routes, which tell where the addresses of sessions lead, are a list of their own: they wake no reader, which takes them before
 * it handles a packet or a message. So a login wakes one worker, however many there are.
 */
#ifndef VPN_FRONTEND_MAILBOX_H
#define VPN_FRONTEND_MAILBOX_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GW_MAILBOX_BYTES (64u << 20)    /* of commands waiting for one worker */
#define GW_MAILBOX_BATCHES 32u          /* batches of packets waiting for one worker: 4 MiB */
#define GW_MAILBOX_ROUTES 1024u         /* routes waiting for one worker, from which on it is woken: 0.1 MB of addresses */

enum gw_message_kind {
    GW_MSG_SEND,
    GW_MSG_CLOSE,
    GW_MSG_CREDIT,             /* Python took an event of the connection, which cost `value` bytes */
    GW_MSG_SESSION_OPEN,
    GW_MSG_SESSION_CLOSE,
    GW_MSG_SESSION_RESIZE,          /* `value` is the MTU */
    GW_MSG_SESSION_ASK,
    GW_MSG_ATTACH,                  /* data: head, then early; `value` bytes are head */
    GW_MSG_MIGRATE,                 /* an ATTACH with its connection: `object` is a struct gw_connection */
    GW_MSG_ADDRESS_ADD,             /* data: two addresses. This and the next three are routes */
    GW_MSG_ADDRESS_REMOVE,
    GW_MSG_IROUTES_ADD,             /* data: struct gw_address_range, any number; `value` is 1 if other clients may reach them */
    GW_MSG_IROUTES_REMOVE,          /* all of the session */
    GW_MSG_BATCH,                   /* `object` is a struct gw_batch */
    GW_MSG_SESSION_MOVE,            /* a session migrates to this worker */
    GW_MSG_SESSION_DTLS,            /* data: a struct gw_dtls_config */
    GW_MSG_SESSION_LIMIT,           /* `object` is a struct gw_limits, or NULL */
    GW_MSG_DATAGRAMS,               /* `object` is a struct gw_batch of datagrams */
    GW_MSG_PAUSE_ACCEPTING,
    GW_MSG_RESUME_ACCEPTING,
    GW_MSG_STOP_ACCEPTING,
    GW_MSG_STOP,
};

struct gw_message {
    struct gw_message *next;
    enum gw_message_kind kind;
    uint64_t connection, session;
    size_t value;
    void *object;                   /* owned by the message; see the kinds */
    size_t size;
    uint8_t data[];
};


struct gw_mailbox {
    pthread_mutex_t lock;
    struct gw_message *head, *tail;
    struct gw_message *routes, *last_route;     /* `routes` is atomic */
    uint32_t route_count;
    size_t bytes;
    uint32_t batches;
    bool woken;                     /* the eventfd was written since the last read */
    int fd;                         /* eventfd */
};

int gw_mailbox_init(struct gw_mailbox *box);
/* Frees the messages that were not read, but not their `object`. */
void gw_mailbox_free(struct gw_mailbox *box);
/* Returns a message with a copy of `data`, or with `size` bytes to fill where `data` is NULL. NULL: out of memory. */
struct gw_message *gw_message_new(enum gw_message_kind kind, const void *data, size_t size);
/* Posts and wakes the reader. Ownership passes to the mailbox on success only. -ENOBUFS: full, see has_room(). */
int gw_mailbox_post(struct gw_mailbox *box, struct gw_message *message);
/* Posts a message that is never refused, and sets *owner to `to` under the lock: a thread that sees `to` posts behind it. */
void gw_mailbox_hand_over(struct gw_mailbox *box, struct gw_message *message, uint32_t *owner, uint32_t to);
/* As gw_mailbox_post without waking the reader: gw_mailbox_wake must follow soon. */
int gw_mailbox_put(struct gw_mailbox *box, struct gw_message *message);
void gw_mailbox_wake(struct gw_mailbox *box);
/* Wakes the reader even if nothing waits: it makes one turn of its loop. */
void gw_mailbox_kick(struct gw_mailbox *box);
/* Takes all messages, in order. The caller frees each. */
struct gw_message *gw_mailbox_take(struct gw_mailbox *box);
/* Posts a route, which is never refused, and wakes the reader only where many wait. Ownership passes to the mailbox. */
void gw_mailbox_put_route(struct gw_mailbox *box, struct gw_message *route);
/* Takes all routes, in order. The caller frees each. Costs one load where there is none. */
struct gw_message *gw_mailbox_take_routes(struct gw_mailbox *box);

#endif
