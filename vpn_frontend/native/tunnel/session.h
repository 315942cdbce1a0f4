/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A session: one client's tunnel, over all the connections it has had. Its slot is taken by Python's thread (which needs the id
 * at once) and given back by the worker that owns the session; in between only that worker, its home, writes to it.
 *
 * Ids of sessions and connections: generation (32 bits) | slot (24 bits) | worker (8 bits). The generation of a slot grows each
 * time it is given back, so that an id never means two things. The worker is where a connection is, and where a session began.
 */
#ifndef VPN_FRONTEND_SESSION_H
#define VPN_FRONTEND_SESSION_H

#include "gateway.h"
#include "runtime/stats.h"

#include <pthread.h>
#include <stdbool.h>

#define GW_SLOTS_MAX (1u << 24)
#define GW_ALIVE_FOR (2 * GW_SECOND)    /* a client heard so long ago needs no question */

struct gw_dtls;
struct gw_connection;
struct gw_worker;

struct gw_session {
    uint64_t id;                    /* 0: a free slot. Written under the table's lock */
    uint32_t generation;
    uint32_t next_free;
    uint32_t home;                  /* the worker that has it; atomic, given away by that one only (moving.h) */
    bool open;                      /* the owner has seen GW_MSG_SESSION_OPEN */
    bool idle_told;
    bool asked;                     /* Python wants to hear when the client is heard */
    struct gw_session_config config;
    uint32_t mtu;                   /* largest inner packet for the client it has now */
    uint32_t told_too_big;          /* ICMP messages in the second `told_second` */
    uint64_t told_second;
    struct gw_counters counters;    /* written by the owner only, read by anyone */
    struct gw_connection *channel;        /* the TLS connection that carries it now; NULL: the client is away */
    struct gw_dtls *dtls;           /* the DTLS half; NULL: none is expected */
    uint64_t heard;                 /* when the peer last sent anything; ns */
    uint64_t probed;                /* when we last asked whether it lives */
    uint64_t rekeyed;               /* when the channel got its keys */
    uint64_t used;                  /* last DATA but ICMP, either way */
    uint64_t moved;                 /* when it last changed its worker; 0: never */
    struct gw_session *previous, *next;     /* the owner's list */
};

struct gw_session_table {
    pthread_mutex_t lock;
    struct gw_session *slots;
    uint32_t size, free;            /* `free`: index of the first free slot, `size` when there is none */
};

static inline uint32_t gw_id_worker(uint64_t id) { return (uint32_t)(id & 0xff); }
static inline uint32_t gw_id_slot(uint64_t id) { return (uint32_t)(id >> 8) & (GW_SLOTS_MAX - 1); }
static inline uint64_t gw_id(uint32_t generation, uint32_t slot, uint32_t worker)
{
    return (uint64_t)generation << 32 | (uint64_t)slot << 8 | worker;
}

int gw_session_table_init(struct gw_session_table *table, uint32_t size);
void gw_session_table_free(struct gw_session_table *table);
/* A slot for a session on `worker`; 0: none free. */
uint64_t gw_session_reserve(struct gw_session_table *table, uint32_t worker, const struct gw_session_config *config);
void gw_session_release(struct gw_session_table *table, struct gw_session *session);
/* From any thread; -ENOENT. */
int gw_session_read(struct gw_session_table *table, uint64_t id, struct gw_session_config *config, struct gw_counters *counters);

/* The worker to post to for it; where it began once it is gone. */
uint32_t gw_session_home(const struct gw_session_table *table, uint64_t id);

/* NULL: gone, or of another worker. */
struct gw_session *gw_session_find(struct gw_worker *worker, uint64_t id);
/* Whether what is for a session that was not found has to be posted, and to whom: to `worker` itself, where the session is on
 * its way to it. False: it is gone. */
bool gw_session_locate(const struct gw_worker *worker, uint64_t id, uint32_t *home);

/* On the owner's thread from here on. */

void gw_session_begin(struct gw_worker *worker, uint64_t id);
/* On and off the worker's list. */
void gw_session_enlist(struct gw_worker *worker, struct gw_session *session);
void gw_session_delist(struct gw_worker *worker, struct gw_session *session);
/* The channel is gone for `cause`; tells Python. The connection itself is the caller's. */
void gw_session_lost_channel(struct gw_worker *worker, struct gw_session *session, enum gw_cause cause,
                             const uint8_t *farewell, size_t size);
/* Says `frame`, lets the channel go, tells Python the final counters and gives the slot back. */
void gw_session_end(struct gw_worker *worker, struct gw_session *session, const uint8_t *frame, size_t size);
/* Python asks whether the client is there: GW_SESSION_ALIVE follows once it is heard. */
void gw_session_probe(struct gw_worker *worker, struct gw_session *session);
void gw_session_report_alive(struct gw_worker *worker, struct gw_session *session);
/* The client was heard, over whichever transport. */
static inline void gw_session_heard(struct gw_worker *worker, struct gw_session *session)
{
    if (session->asked)
        gw_session_report_alive(worker, session);
}
/* Once a second: dead peers, idle sessions. */
void gw_sessions_tick(struct gw_worker *worker);

static inline void gw_session_drop_rx(struct gw_session *session) { gw_add(&session->counters.rx_dropped, 1); }
static inline void gw_session_drop_tx(struct gw_session *session) { gw_add(&session->counters.tx_dropped, 1); }

#endif
