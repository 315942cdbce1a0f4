/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * UDP as a worker sees it: one unconnected socket per address of the server, shared by all clients. A datagram is
 *
 *   a hello       the policy is asked, the session is looked up by name, a cookie is demanded; without it nothing is kept
 *   of a path     that is known: given to its session
 *   of a stranger given to the session that alone has a client at this address, whose port may have changed (NAT), or dropped
 *
 * The kernel spreads clients over the workers by their addresses, sessions begin where their first TCP connection came in:
 * datagrams that arrive elsewhere travel in batches, until the session has followed them (moving.h). Answers leave from the
 * session's own worker.
 */
#ifndef VPN_FRONTEND_DTLS_PORT_H
#define VPN_FRONTEND_DTLS_PORT_H

#include "dtls/context.h"
#include "dtls/udp_batch.h"
#include "dtls/client_table.h"
#include "runtime/worker.h"

#define GW_UDP_SOCKETS_MAX 8u       /* per worker */
#define GW_RECEIVE_BATCH 32u        /* reads at once, each of one datagram or of many that the kernel put together (UDP_GRO) */
#define GW_RECEIVE_SIZE 65536u      /* bytes of such a read */
#define GW_RECEIVE_STRIDE (GW_RECEIVE_SIZE + 1536u) /* bytes from one to the next: at a power of two all would share their cache lines */

/* What all workers share. */
struct gw_dtls_hub {
    struct gw_dtls_contexts contexts;
    struct gw_client_table names;      /* App-IDs and session ids */
    struct gw_client_table addresses;  /* of clients whose DTLS is up */
    uint8_t cookie_master[GW_COOKIE_SECRET_SIZE];
};

struct gw_udp_listener {
    struct gw_pollable pollable;        /* first: what epoll points to */
    uint16_t index, port;
};

struct gw_udp_port {
    struct gw_udp_listener sources[GW_UDP_SOCKETS_MAX];
    struct gw_udp_socket sockets[GW_UDP_SOCKETS_MAX];
    uint32_t count;
    struct gw_path_cache paths;
    struct gw_cookies cookies;
    struct gw_batch *outgoing[GW_WORKERS_MAX];  /* datagrams being gathered for other workers */
    bool waiting;                   /* one of them was not taken yet: the next turn must come soon */
    struct gw_udp_batch out;
    uint8_t received[GW_RECEIVE_BATCH][GW_RECEIVE_STRIDE];
};

/* A datagram for a session, with what the port has found out. */
struct gw_datagram {
    uint64_t session;
    uint32_t size;
    uint8_t kind;                   /* enum gw_dtls_kind */
    uint8_t secret;                 /* HELLO: under which of the two secrets its cookie is good */
    uint16_t arrived_at;                 /* the worker where it came in, which may be another than it comes from */
    struct gw_path path;
};

struct gw_dtls_hub *gw_dtls_hub_new(uint32_t max_sessions, char *error, size_t error_size);
void gw_dtls_hub_free(struct gw_dtls_hub *hub);

/* Takes the descriptor on success. Before the worker starts. */
int gw_udp_demux_add(struct gw_worker *worker, int fd);
/* How many it has; the same for every worker that runs. */
uint32_t gw_udp_demux_sockets(const struct gw_worker *worker);
void gw_udp_demux_free(struct gw_worker *worker);
void gw_udp_demux_ready(struct gw_worker *worker, struct gw_udp_listener *source);
/* Datagrams that worker `from` received. */
void gw_udp_demux_take_batch(struct gw_worker *worker, struct gw_batch *batch);
/* The end of a turn: what was gathered for other workers and for clients goes out. */
void gw_udp_demux_flush(struct gw_worker *worker);

#endif
