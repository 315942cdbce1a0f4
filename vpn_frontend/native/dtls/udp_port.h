/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * UDP sockets for DTLS: the data that all workers share, the port of each worker, and a received datagram with its session.
 */
#ifndef VPN_FRONTEND_UDP_PORT_H
#define VPN_FRONTEND_UDP_PORT_H

#include "dtls/client_table.h"
#include "dtls/context.h"
#include "dtls/path_cache.h"
#include "dtls/udp_batch.h"
#include "runtime/worker.h"

#define GW_UDP_SOCKETS_MAX 128u     /* per worker: eight for each address of the server */
#define GW_RECEIVE_BATCH 32u        /* reads in one recvmmsg, each of one datagram or of several that the kernel merged (UDP_GRO) */
#define GW_RECEIVE_SIZE 65536u      /* bytes of such a read */
#define GW_RECEIVE_STRIDE (GW_RECEIVE_SIZE + 1536u) /* bytes between buffers: at a power of two all would share their cache lines */

/* What all workers share. */
struct gw_dtls_hub {
    struct gw_dtls_contexts contexts;
    struct gw_client_table names;       /* App-IDs and session ids -> sessions */
    struct gw_client_table addresses;   /* addresses of clients whose DTLS is up -> sessions */
    uint8_t cookie_master[GW_COOKIE_SECRET_SIZE];
};

struct gw_udp_listener {
    struct gw_pollable pollable;        /* first: what epoll points to */
    uint16_t index, port;
    bool mixed;                         /* in this turn datagrams of several sessions came */
    uint64_t last;                      /* the session of the last datagram */
};

/* What a worker has. */
struct gw_udp_port {
    struct gw_udp_listener listeners[GW_UDP_SOCKETS_MAX];
    struct gw_udp_socket sockets[GW_UDP_SOCKETS_MAX];
    uint32_t count;
    struct gw_path_cache paths;
    struct gw_cookies cookies;
    struct gw_batch *outgoing[GW_WORKERS_MAX];  /* datagrams gathered for other workers */
    bool waiting;                   /* one of those was not taken: the next turn must come soon */
    struct gw_udp_batch out;
    uint8_t received[GW_RECEIVE_BATCH][GW_RECEIVE_STRIDE];
};

/* What the demultiplexer found out about a datagram. In a batch, the datagram's bytes follow it. */
struct gw_datagram {
    uint64_t session;
    uint32_t size;
    uint8_t kind;                   /* enum gw_dtls_kind */
    uint8_t secret;                 /* HELLO: index of the secret under which its cookie is good */
    uint16_t arrived_at;            /* the worker that received it, which may differ from the one that posts it */
    struct gw_path path;
};

/* Returns the shared data, owned by the caller; NULL: `error` has the reason. `hosts` must outlive it. */
struct gw_dtls_hub *gw_dtls_hub_new(uint32_t max_sessions, struct gw_tls_holder *hosts, bool fips, char *error, size_t error_size);
void gw_dtls_hub_free(struct gw_dtls_hub *hub);

/* Adds a socket to the worker's port. Takes the descriptor on success. Before the worker starts. 0 or a negative errno. */
int gw_udp_port_add(struct gw_worker *worker, int fd);
/* The number of sockets, equal for all workers that run. */
uint32_t gw_udp_port_sockets(const struct gw_worker *worker);
void gw_udp_port_free(struct gw_worker *worker);

#endif
