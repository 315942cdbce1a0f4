/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The data of a worker and of the gateway. A worker is one thread with one epoll loop (worker_loop.h). Other threads touch only
 * its mailbox, and read its counters.
 */
#ifndef VPN_FRONTEND_WORKER_H
#define VPN_FRONTEND_WORKER_H

#include "packet/gro.h"
#include "packet/inner_packet.h"
#include "queues/batch_pool.h"
#include "queues/chunk_pool.h"
#include "queues/event_queue.h"
#include "queues/mailbox.h"
#include "runtime/busy_links.h"
#include "runtime/clock.h"
#include "runtime/pacing.h"
#include "runtime/pollable.h"
#include "runtime/session_table.h"
#include "runtime/session_wheel.h"
#include "signing/link.h"
#include "tables/address_table.h"
#include "tables/prefix_table.h"

#include "sentry_engine/native/gate.h"

#include <semaphore.h>

#define GW_LISTENERS_MAX 16u        /* per worker: addresses of the server */
#define GW_INPUT_SIZE 131072u       /* bytes read from a socket at once: 90 records of large packets */
#define GW_PLAIN_SIZE 16384u        /* bytes of the largest TLS record */
#define GW_PACKET_MAX 65535u
#define GW_HEADROOM 16u             /* bytes in front of a packet, for the header of a queue or a frame */
#define GW_TUN_QUEUES 2u            /* per worker at most */
#define GW_TICK (100 * GW_MS)       /* the granularity of deadlines; that of sessions is a second */

#define GW_SOURCE_BUCKETS 4096u     /* hashes of sources, see connections/source_table.h */

struct gw_connection;
struct gw_dtls_hub;
struct gw_tls_holder;
struct gw_source_entry;
struct gw_udp_port;

struct gw_listener {
    struct gw_pollable pollable;
    uint16_t port;
};

/* Connections without a tunnel, in the sequence of acceptance. */
struct gw_source_list {
    struct gw_source_entry *oldest, *newest;
};

struct gw_connection_slot {
    struct gw_connection *connection;   /* NULL: free */
    uint32_t generation, next_free;
};

/* The kernel puts the packets of a flow into the queue that the flow's last packet was written to. So the answers to calm sessions
 * come over a queue of their own, the first, and not behind a download. */
struct gw_tun_queue {
    struct gw_pollable pollable;    /* first: what epoll points to */
    struct gw_worker *worker;
    bool written;                   /* in this turn */
    bool paused;                    /* not polled until the next tick */
    uint32_t failures;              /* reads that failed, one after the other */
    struct gw_gro gro;              /* packets for the queue */
};

struct gw_worker {
    struct gw *gateway;
    uint32_t index;
    int epoll;
    bool stopping;
    bool mail;                      /* the mailbox is to be read in this turn */
    bool accept_paused;             /* out of descriptors: the listeners are off until the next tick */
    uint64_t now, next_tick;
    uint64_t looked;                /* when the loop last asked epoll about calm links */
    bool calm_input;                /* packets came over calm links since the last flush */
    struct gw_pacing pacing;
    struct gw_busy_links busy_links;
    uint32_t handshakes;            /* steps of handshakes in this turn */
    pthread_t thread;
    sem_t started;                  /* posted once the thread has loaded its filter, or failed to */
    int start_status;               /* 0 or a negative errno, valid after that */
    struct gw_message *stop;        /* the last message it gets, allocated at the start; NULL: it has been sent */
    struct gw_mailbox mailbox;
    struct gw_pollable mailbox_pollable;
    struct gw_signer_link signer;   /* to the process with the private keys */
    struct gw_pollable signer_pollable;
    struct gw_listener listeners[GW_LISTENERS_MAX];
    uint32_t listener_count;
    struct gw_address_table addresses;
    struct gw_prefix_table iroutes;
    struct gw_subnet4 subnet4;      /* of the clients */
    struct gw_connection_slot *slots;   /* connections that Python can name */
    uint32_t slots_size, slots_free;
    struct gw_source_list sources[GW_SOURCE_BUCKETS];
    struct gw_connection *connections;  /* owned, as are the next two: each has a deadline, waits to send, or is not watched */
    struct gw_connection *calm;         /* the others, idle tunnels: no tick looks at them */
    struct gw_connection *dirty;        /* with output to flush in this turn */
    struct gw_connection *dead;         /* freed at the end of the turn */
    struct gw_session_wheel sessions;   /* of this worker; the table owns them */
    struct gw_udp_port *udp;            /* owned; NULL: no UDP */
    struct gw_chunk_pool chunks;
    struct gw_batch *outgoing[GW_WORKERS_MAX];  /* packets gathered for each other worker (handoff.h) */
    uint64_t stats[GW_STAT_COUNT];
    uint64_t turns;                 /* of the loop; others read it */
    uint8_t input[GW_INPUT_SIZE];
    uint8_t plain[GW_PLAIN_SIZE];
    struct gw_tun_queue tuns[GW_TUN_QUEUES];
    uint32_t tun_count;             /* with one queue, it has the packets of all sessions */
    bool tun_paused;                /* a queue is */
    bool tun_lost;                  /* GW_TUN_DOWN was sent */
    bool vnet;                      /* packets of the TUN queues have a struct virtio_net_hdr */
    uint8_t large[GW_HEADROOM + GW_PACKET_MAX];     /* as read from a TUN queue */
    uint8_t packet[GW_HEADROOM + GW_PACKET_MAX];    /* one for a client, framed in place */
};

struct gw {
    struct gw_config config;
    const struct se_gate *gate;
    struct gw_address_range *proxies;   /* owned; config.proxy_count of them */
    struct gw_tls_holder *tls;      /* owned, as are the next two */
    struct gw_tls_holder *acme;     /* challenges of ACME servers; without hosts: none */
    struct gw_dtls_hub *dtls;
    struct gw_event_queue events;
    struct gw_session_table sessions;
    struct gw_batch_pool batches;
    uint32_t connections;           /* atomic: accepted ones whose end Python has not read yet */
    uint32_t source_counts[GW_SOURCE_BUCKETS];  /* atomic: connections without a tunnel, of all workers */
    uint64_t seed;                  /* of hashes of peers' addresses */
    uint32_t running;               /* workers that were started */
    bool holding;                   /* atomic: commands wake no worker until gw_release */
    struct gw_worker *workers[GW_WORKERS_MAX];
};

/* Returns a worker with its epoll instance, mailbox and tables; NULL: out of memory or descriptors. */
struct gw_worker *gw_worker_new(struct gw *gateway, uint32_t index, uint64_t seed);
/* Frees what gw_worker_new made. Requires that the thread has ended and all that other folders put there is gone. */
void gw_worker_free(struct gw_worker *worker);
/* 0 or a negative errno. */
int gw_worker_watch(struct gw_worker *worker, struct gw_pollable *pollable, uint32_t events);

static inline void gw_count(struct gw_worker *worker, enum gw_stat stat)
{
    gw_add(&worker->stats[stat], 1);
}

/* As gw_session_find and gw_session_locate, for this worker. */
static inline struct gw_session *gw_worker_find(const struct gw_worker *worker, uint64_t id)
{
    return gw_session_find(&worker->gateway->sessions, id, worker->index);
}
static inline bool gw_worker_locate(const struct gw_worker *worker, uint64_t id, uint32_t *home)
{
    return gw_session_locate(&worker->gateway->sessions, id, worker->index, home);
}

#endif
