/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * One accepted TCP connection with TLS. It belongs to the worker that accepted it. Once it has an owner (a session) it moves with
 * the owner. States:
 *
 *   PROXY_HEADER (listed proxies) -> HANDSHAKE -> PRE_TUNNEL -> OWNED
 *       \                              \            \           \--> CLOSING (output is flushed) -> LINGER (input discarded) -> DEAD
 *        \------------------------------\------------\-------------> DEAD
 *
 * A dead connection is freed at the end of the turn of the loop: other events of the turn may still point to it.
 */
#ifndef VPN_FRONTEND_CONNECTION_H
#define VPN_FRONTEND_CONNECTION_H

#include "connections/send_queue.h"
#include "connections/source_table.h"
#include "runtime/worker.h"
#include "tls/context.h"
#include "tls/hosts.h"

#define GW_CREDIT_MAX 65536u            /* bytes, with the cost of their events, that Python has not taken; then reading stops */
#define GW_QUEUE_SOFT 262144u           /* bytes queued; the owner should add no more */
#define GW_SEND_SIZE 245760u            /* bytes queued that are worth a flush at once; below GW_QUEUE_SOFT with a packet more */
#define GW_QUEUE_HARD 1048576u          /* bytes queued; beyond them the connection is closed as stalled */
#define GW_LINGER (2 * GW_SECOND)       /* for the peer to read the last output before the socket is closed */

enum gw_connection_state {
    GW_CONNECTION_PROXY_HEADER,         /* a proxy is to name the client; no source is counted yet */
    GW_CONNECTION_HANDSHAKE,
    GW_CONNECTION_PRE_TUNNEL,           /* decrypted bytes are events for Python */
    GW_CONNECTION_OWNED,                /* decrypted bytes go to the owner */
    GW_CONNECTION_CLOSING,
    GW_CONNECTION_LINGER,
    GW_CONNECTION_DEAD,
};

/* Calls from a connection to its owner. */
struct gw_connection_callbacks {
    /* The payload of one record. The owner may end the connection or leave it (gw_connection_disown). */
    void (*on_data)(struct gw_connection *connection, const uint8_t *data, size_t size);
    /* The connection ends; the owner has to forget it. It is freed later. */
    void (*on_end)(struct gw_connection *connection, enum gw_cause cause);
};

/* The begin of a ClientHello that did not come in one piece. */
struct gw_hello_buffer {
    size_t size;
    uint8_t bytes[GW_TLS_HELLO_MAX];
};

struct gw_connection {
    struct gw_pollable pollable;        /* first: what epoll points to */
    uint64_t id;
    struct gw_worker *worker;
    enum gw_connection_state state;
    bool known;                         /* Python has been sent GW_CONNECTION_UP */
    bool silent;                        /* no event is sent when it ends */
    bool heard;                         /* a byte came */
    bool dirty;                         /* on the worker's list of connections to flush */
    bool held;                          /* its output leaves with what is written next, or at the next tick */
    bool addressed;                     /* Python may still name it: it holds its slot */
    bool acme;                          /* a validation by an ACME server: it ends with the handshake */
    bool asked;                         /* it sent data that Python has not answered yet */
    bool calm;                          /* on the worker's list of these */
    bool unwatched;                     /* epoll refused what the state needs; asked again at the next tick */
    uint32_t interest;                  /* epoll events asked for */
    uint32_t undelivered;               /* bytes that Python has not taken, with the cost of their events */
    struct gw_hello_buffer *hello;      /* owned; the part of a ClientHello that came so far, or what came behind it while its
                                         * signature is awaited. NULL: none */
    struct gw_tls_hosts *hosts;         /* a reference during the handshake */
    uint32_t host;                      /* index in it */
    WOLFSSL *ssl;                       /* owned; NULL before the whole ClientHello */
    struct gw_tls_io io;
    struct gw_signature signature;      /* of the handshake */
    struct gw_send_queue out;
    const struct gw_connection_callbacks *callbacks;
    void *owner;                        /* NULL: none */
    uint64_t deadline;                  /* of the state; 0: none */
    uint64_t opened, spoke;             /* when it was accepted, and when its peer last sent a byte */
    uint64_t waiting_since;             /* since when the peer takes no output; 0: none waits */
    uint8_t peer[16];
    uint8_t local[16];                  /* the server's address; all zero: the socket's */
    uint16_t peer_port, local_port;
    struct gw_partial_header *partial_header;   /* owned; of a proxy, see proxy.h; NULL: none */
    char *server_name;                  /* owned; SNI, GW_SERVER_NAME_SIZE bytes during the handshake */
    struct gw_connection *previous, *next;      /* the worker's list */
    struct gw_source_entry source;      /* listed while there is no tunnel */
    struct gw_connection *next_dirty, *next_dead;
};

/* Takes the descriptor on success. NULL: out of memory, slots or epoll watches. `proxy`: a PROXY header names the client. */
struct gw_connection *gw_connection_open(struct gw_worker *worker, int fd, const uint8_t peer[16], uint16_t peer_port,
                                         uint16_t local_port, bool proxy);
/* NULL: gone, or moved to another worker. */
struct gw_connection *gw_connection_find(struct gw_worker *worker, uint64_t id);
/* Gives a connection in PRE_TUNNEL to `owner`, which is called with its data and when it ends. */
void gw_connection_own(struct gw_connection *connection, const struct gw_connection_callbacks *callbacks, void *owner);
/* The owner leaves: no more callbacks. */
void gw_connection_disown(struct gw_connection *connection);

/* Encrypts and queues. On failure (-EPIPE) the connection has ended. */
int gw_connection_write(struct gw_connection *connection, const uint8_t *data, size_t size);
void gw_connection_flush(struct gw_connection *connection);
/* Asks epoll for the events that the state needs. */
void gw_connection_update_interest(struct gw_connection *connection);
/* Python took events that cost `size` bytes. */
void gw_connection_credit(struct gw_connection *connection, size_t size);
/* Sends `event` with the connection's id and addresses to Python. 0 or a negative errno, see gw_event_push. */
int gw_connection_push_event(struct gw_connection *connection, struct gw_event *event, const void *data, bool optional);

/* Ends at once. */
void gw_connection_end(struct gw_connection *connection, enum gw_cause cause);
/* Ends after the queued output was sent. */
void gw_connection_finish(struct gw_connection *connection);
/* Takes the connection off its worker, or puts it on `worker`. -ENOMEM: it has ended. */
void gw_connection_detach(struct gw_connection *connection);
int gw_connection_adopt(struct gw_worker *worker, struct gw_connection *connection);

/* Ends the connections whose deadline has passed or whose peer reads nothing. Looks at those alone that may be among them. */
void gw_connections_tick(struct gw_worker *worker);
/* Flushes the dirty ones. */
void gw_connections_flush(struct gw_worker *worker);
/* Frees the dead ones. */
void gw_connections_reap(struct gw_worker *worker);
/* Closes and frees without an event. */
void gw_connection_destroy(struct gw_connection *connection, struct gw_chunk_pool *pool);

#endif
