/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A worker: one thread, one epoll loop, and everything it owns. Nothing here is touched by another thread but the mailbox,
 * and the counters, which others read.
 */
#ifndef VPN_FRONTEND_WORKER_H
#define VPN_FRONTEND_WORKER_H

#include "runtime/clock.h"
#include "packet/gro.h"
#include "runtime/event_queue.h"
#include "tls/connection.h"
#include "runtime/mailbox.h"
#include "runtime/pacing.h"
#include "runtime/address_table.h"
#include "tunnel/session.h"
#include "tls/context.h"

#include "sentry_engine/native/gate.h"

#define GW_WORKERS_MAX 64u
#define GW_LISTENERS_MAX 8u         /* per worker: addresses of the server */
#define GW_INPUT_SIZE 131072u       /* bytes read from a socket at once: 90 records of large packets */
#define GW_PRE_TUNNEL_INPUT 16384u    /* the same before the tunnel, so that flow control overshoots by no more */
#define GW_PLAIN_SIZE 16384u        /* a TLS record's worth */
#define GW_PACKET_MAX 65535u
#define GW_MTU_MIN 576u             /* what every host of the Internet takes (RFC 791) */
#define GW_HEADROOM 16u             /* in front of a packet, for the header of a queue or a frame */
#define GW_TICK (100 * GW_MS)       /* the grain of all deadlines */

struct gw_dtls_hub;
struct gw_udp_port;

struct gw_listener {
    struct gw_pollable pollable;
    uint16_t port;
};

struct gw_connection_slot {
    struct gw_connection *connection;           /* NULL: free */
    uint32_t generation, next_free;
};

struct gw_worker {
    struct gw *gateway;
    uint32_t index;
    int epoll;
    bool stopping;
    bool mail;                      /* in the mailbox, to be read in this turn */
    bool accept_paused;             /* out of descriptors: the listeners rest until the next tick */
    uint64_t now, next_tick, next_second;
    struct gw_pacing pacing;
    uint32_t handshakes;            /* steps of handshakes in this turn */
    pthread_t thread;
    struct gw_message *stop;        /* the last message it gets, made before memory may be short; NULL: it has been sent */
    struct gw_mailbox mailbox;
    struct gw_pollable mailbox_pollable, tun;
    struct gw_listener listeners[GW_LISTENERS_MAX];
    uint32_t listener_count;
    struct gw_address_table addresses;
    struct gw_connection_slot *slots;     /* connections that Python can name */
    uint32_t slots_size, slots_free;
    struct gw_connection *connections, *dirty, *dead;
    struct gw_session *sessions;
    struct gw_udp_port *dtls;      /* NULL: no UDP */
    struct gw_chunk_pool chunks;
    struct gw_batch *outgoing[GW_WORKERS_MAX];  /* packets being gathered for each other worker */
    uint64_t stats[GW_STAT_COUNT];
    uint8_t input[GW_INPUT_SIZE];
    uint8_t plain[GW_PLAIN_SIZE];
    bool tun_written;               /* in this turn */
    bool vnet;                      /* the TUN queue speaks struct virtio_net_hdr */
    struct gw_gro gro;  /* packets on their way to the TUN queue */
    uint8_t large[GW_HEADROOM + GW_PACKET_MAX];     /* as read from the TUN queue */
    uint8_t packet[GW_HEADROOM + GW_PACKET_MAX];    /* one for a client, framed in place */
};

struct gw_batch_pool {              /* one lock per batch, not per packet */
    pthread_mutex_t lock;
    struct gw_batch *free;
    uint32_t count;
};

struct gw {
    struct gw_config config;
    const struct se_gate *gate;
    struct gw_tls_holder tls;
    struct gw_event_queue events;
    struct gw_session_table sessions;
    struct gw_dtls_hub *dtls;
    struct gw_batch_pool batches;
    uint32_t connections;                 /* atomic: accepted, and not yet forgotten by Python */
    uint32_t running;               /* workers that were started */
    bool holding;                   /* atomic: commands wake nobody until gw_release */
    struct gw_worker *workers[GW_WORKERS_MAX];
};

/* Every worker has its own mapping; NULL: out of memory or descriptors. */
struct gw_worker *gw_worker_new(struct gw *gateway, uint32_t index, uint64_t seed);
/* After its thread was joined, or never started. Closes every descriptor it holds. */
void gw_worker_free(struct gw_worker *worker);
int gw_worker_watch(struct gw_worker *worker, struct gw_pollable *source, uint32_t events);
int gw_worker_start(struct gw_worker *worker);

static inline void gw_count(struct gw_worker *worker, enum gw_stat stat)
{
    gw_add(&worker->stats[stat], 1);
}

#endif
