/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A connection: one accepted TCP connection. It belongs to the worker that accepted it until it becomes the channel of a session
 * that lives on another one; then it moves there, and from there on with its session (moving.h). States:
 *
 *   HANDSHAKE -> CONVERSATION -> CHANNEL
 *        \            \             \--> CLOSING (what is queued goes out) -> LINGER (write side shut, reads thrown away) -> dead
 *         \------------\---------------> dead
 *
 * A dead connection is freed at the end of the turn of the loop, since events of the same turn may still name it.
 */
#ifndef VPN_FRONTEND_LINK_H
#define VPN_FRONTEND_LINK_H

#include "packet/cstp.h"
#include "tls/send_queue.h"
#include "runtime/pollable.h"
#include "tls/context.h"

#include <stdbool.h>

#define GW_CREDIT_MAX 65536u            /* bytes of conversation, as events, that Python has not taken; then reading stops */
#define GW_QUEUE_SOFT 262144u           /* bytes queued for a channel; further inner packets are dropped */
#define GW_SEND_SIZE 131072u            /* bytes queued that are sent before the turn of the loop ends */
#define GW_QUEUE_HARD 1048576u          /* bytes queued for a connection of any kind; then it is closed as stalled */
#define GW_HANDSHAKES_PER_TURN 8u       /* steps of handshakes in a turn of the loop, 0.3 ms each */
#define GW_LINGER (2 * GW_SECOND)       /* for the peer to read our last words before the socket goes */

struct gw_session;
struct gw_worker;

enum gw_connection_state { GW_CONNECTION_HANDSHAKE, GW_CONNECTION_PRE_TUNNEL, GW_CONNECTION_CHANNEL, GW_CONNECTION_CLOSING, GW_CONNECTION_LINGER, GW_CONNECTION_DEAD };

struct gw_connection {
    struct gw_pollable pollable;            /* first: what epoll points to */
    uint64_t id;
    struct gw_worker *worker;
    enum gw_connection_state state;
    bool known;                         /* Python has heard LINK_UP */
    bool silent;                        /* its end is told as something else (CHANNEL_DOWN) or to nobody */
    bool heard;                         /* a byte came */
    bool dirty;                         /* on the worker's list of connections to flush */
    bool addressed;                     /* Python may still name it: it holds its slot */
    uint32_t interest;                  /* epoll events asked for */
    uint32_t undelivered;               /* bytes of conversation that Python has not taken, with what their events cost */
    WOLFSSL *ssl;
    struct gw_tls_io io;
    struct gw_send_queue out;
    struct gw_cstp_reader frames;
    struct gw_session *session;         /* CHANNEL only */
    uint64_t deadline;                  /* of the state; 0: none */
    uint64_t waiting_since;             /* the outbox has not moved since; 0: it is empty */
    uint8_t peer[16];
    uint16_t peer_port, local_port;
    char *server_name;                  /* SNI, 256 bytes while the handshake runs */
    struct gw_connection *previous, *next;    /* the worker's list */
    struct gw_connection *next_dirty, *next_dead;
};

/* Takes the descriptor on success; NULL: out of memory, slots or epoll. */
struct gw_connection *gw_connection_open(struct gw_worker *worker, int fd, const uint8_t peer[16], uint16_t peer_port, uint16_t local_port);
/* NULL: gone, or a channel by now. */
struct gw_connection *gw_connection_find(struct gw_worker *worker, uint64_t id);
void gw_connection_ready(struct gw_connection *connection, uint32_t events);
/* Encrypts and queues; a connection that cannot take it is closed. */
int gw_connection_write(struct gw_connection *connection, const uint8_t *data, size_t size);
void gw_connection_flush(struct gw_connection *connection);
/* Python took events of `size` bytes. */
void gw_connection_credit(struct gw_connection *connection, size_t size);
/* At once. */
void gw_connection_end(struct gw_connection *connection, enum gw_cause cause);
/* When what is queued is out. */
void gw_connection_finish(struct gw_connection *connection);
/* Takes the connection off its worker, to be given to another one, or puts it there. */
void gw_connection_detach(struct gw_connection *connection);
int gw_connection_adopt(struct gw_worker *worker, struct gw_connection *connection);
void gw_connections_tick(struct gw_worker *worker);
/* Frees the dead. */
void gw_connections_reap(struct gw_worker *worker);
/* Closes and frees without a word to anyone. */
void gw_connection_destroy(struct gw_connection *connection, struct gw_chunk_pool *pool);

#endif
