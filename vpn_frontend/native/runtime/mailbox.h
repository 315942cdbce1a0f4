/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * How other threads speak to a worker: messages in order, read in whole lists. Commands of Python are bounded by their
 * bytes (-ENOBUFS), batches of packets by their number (dropped); a migrating connection is bounded by max_connections.
 */
#ifndef VPN_FRONTEND_MAILBOX_H
#define VPN_FRONTEND_MAILBOX_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GW_MAILBOX_BYTES (64u << 20)    /* of commands waiting for one worker */
#define GW_MAILBOX_BATCHES 32u          /* batches of packets waiting for one worker: 4 MiB */

enum gw_message_kind {
    GW_MSG_SEND,
    GW_MSG_CLOSE,
    GW_MSG_CREDIT,             /* Python took an event of the connection's data, which cost `value` bytes */
    GW_MSG_SESSION_OPEN,
    GW_MSG_SESSION_CLOSE,
    GW_MSG_SESSION_RESIZE,          /* `value` is the MTU */
    GW_MSG_SESSION_ASK,
    GW_MSG_ATTACH,                  /* data: head, then early; `value` bytes are head */
    GW_MSG_MIGRATE,                 /* an ATTACH that brings its connection along: `object` is a struct gw_connection */
    GW_MSG_ADDRESS_ADD,               /* data: two addresses */
    GW_MSG_ADDRESS_REMOVE,
    GW_MSG_BATCH,                   /* `object` is a struct gw_batch */
    GW_MSG_SESSION_MOVE,            /* a session comes here */
    GW_MSG_SESSION_DTLS,            /* data: a struct gw_dtls_config */
    GW_MSG_DATAGRAMS,               /* `object` is a struct gw_batch of datagrams */
    GW_MSG_STOP_ACCEPTING,
    GW_MSG_STOP,
};

struct gw_message {
    struct gw_message *next;
    enum gw_message_kind kind;
    uint64_t connection, session;
    size_t value;
    void *object;                   /* owned by the message */
    size_t size;
    uint8_t data[];
};


struct gw_mailbox {
    pthread_mutex_t lock;
    struct gw_message *head, *tail;
    size_t bytes;
    uint32_t batches;
    bool woken;                     /* the reader has been, since it took what there was */
    int fd;                         /* eventfd */
};

int gw_mailbox_init(struct gw_mailbox *box);
/* Frees the messages that were never read, but not what their `object` points to. */
void gw_mailbox_free(struct gw_mailbox *box);
/* `data` NULL: `size` bytes for the caller to fill. */
struct gw_message *gw_message_new(enum gw_message_kind kind, const void *data, size_t size);
/* Takes ownership of the message on success only. */
int gw_mailbox_post(struct gw_mailbox *box, struct gw_message *message);
/* The same for what is never refused; `*owner` becomes `to` with it, so that who sees that posts behind the message. */
void gw_mailbox_hand_over(struct gw_mailbox *box, struct gw_message *message, uint32_t *owner, uint32_t to);
/* As gw_mailbox_post, but nobody is woken for it: gw_mailbox_wake follows soon. */
int gw_mailbox_put(struct gw_mailbox *box, struct gw_message *message);
void gw_mailbox_wake(struct gw_mailbox *box);
/* Everything that waits, in order; the reader frees each. */
struct gw_message *gw_mailbox_take(struct gw_mailbox *box);

#endif
