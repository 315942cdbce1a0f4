/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The table of all sessions. Python's thread takes a slot, since it needs the id at once; the worker that owns the session frees
 * it. In between only that worker, the session's home, writes to the session.
 */
#ifndef VPN_FRONTEND_SESSION_TABLE_H
#define VPN_FRONTEND_SESSION_TABLE_H

#include "gateway.h"
#include "packet/cstp.h"
#include "queues/event_queue.h"
#include "runtime/clock.h"
#include "runtime/id.h"
#include "runtime/pacing.h"
#include "runtime/stats.h"

#include <pthread.h>
#include <stdbool.h>

struct gw_connection;
struct gw_dtls;
struct gw_limits;

struct gw_session {
    uint64_t id;                    /* 0: a free slot. Written under the table's lock */
    uint32_t generation;
    uint32_t next_free;
    uint32_t home;                  /* index of the worker that owns it; atomic, changed by that worker only (tunnel/migration.h) */
    bool open;                      /* the owner has seen GW_MSG_SESSION_OPEN */
    bool idle_told;
    bool probe_wanted;              /* Python waits for GW_SESSION_ALIVE */
    bool second_queue;              /* its last packet was for its worker's second TUN queue */
    struct gw_session_config config;
    struct gw_limits *limits;       /* owned; NULL: none. See limits/limits.h */
    uint32_t mtu;                   /* largest inner packet for the client now */
    uint32_t too_big_count;         /* ICMP errors sent in the second `too_big_second` */
    uint64_t too_big_second;
    struct gw_account *account;     /* its counters: written by the owner only, read by any thread */
    struct gw_connection *channel;  /* the TLS channel; NULL: none, the client is away. Owned by its worker's list */
    struct gw_cstp_reader frames;   /* of the channel */
    struct gw_dtls *dtls;           /* owned; NULL: no DTLS client is expected */
    uint64_t heard;                 /* when the channel last received anything; ns, as all times here */
    uint64_t probed;                /* when the last DPD request left */
    uint64_t rekeyed;               /* when the channel got its keys */
    uint64_t used;                  /* when the last DATA but ICMP passed, in either direction */
    struct gw_session_rate rate;
    uint64_t moved;                 /* when it last changed its worker; 0: never */
    uint32_t place;                 /* on its worker's wheel */
    struct gw_session *previous, *next;     /* on a list of it */
    uint64_t former_rx, former_tx;  /* of the slot: bytes of its sessions that have ended, less what each brought along; may wrap */
};

struct gw_session_table {
    pthread_mutex_t lock;
    struct gw_session *slots;
    struct gw_account *accounts;    /* one per slot */
    bool owns_accounts;
    uint32_t size, free;            /* `free`: index of the first free slot; `size`: none is free */
    uint32_t used;                  /* slots that ever had a session: the first ones */
};

/* 0 or -ENOMEM. The caller has initialised the lock. `accounts`: `size` of them, of the caller's; NULL: memory of its own. */
int gw_session_table_init(struct gw_session_table *table, uint32_t size, struct gw_account *accounts);
void gw_session_table_free(struct gw_session_table *table);

/* From any thread. */

/* Takes a slot for a session on `worker`. Returns its id, 0: no slot is free. */
uint64_t gw_session_reserve(struct gw_session_table *table, uint32_t worker, const struct gw_session_config *config);
/* A new process must not give the session back. */
void gw_session_mark_ended(struct gw_session_table *table, uint64_t id);
/* Frees the slot. Only by the owner, or by the thread that reserved it and posted nothing about it. */
void gw_session_release(struct gw_session_table *table, struct gw_session *session);
/* Copies what is not NULL; -ENOENT: no such session. */
int gw_session_read(struct gw_session_table *table, uint64_t id, struct gw_session_config *config, struct gw_counters *counters);
/* Inner bytes from and to all clients since the table was made, those of ended sessions too. What sessions brought along from a
 * former process is left out. Delays no other thread: the lock is held for a few slots at a time. Never less than before: what a
 * slot adds only grows, also while its sessions end and begin. */
void gw_session_table_traffic(struct gw_session_table *table, uint64_t *rx, uint64_t *tx);
/* The worker to post to. For a session that is gone: the worker where it began. */
uint32_t gw_session_home(const struct gw_session_table *table, uint64_t id);

/* On the thread of worker `worker`. */

/* NULL: gone, or owned by another worker. */
struct gw_session *gw_session_find(const struct gw_session_table *table, uint64_t id, uint32_t worker);
/* True if a session that was not found lives on, or is migrating to, worker *home: post there. False: it is gone. */
bool gw_session_locate(const struct gw_session_table *table, uint64_t id, uint32_t worker, uint32_t *home);
void gw_session_copy_counters(const struct gw_session *session, struct gw_counters *out);
/* Sends GW_SESSION_ALIVE to Python. */
void gw_session_report_alive(struct gw_event_queue *events, struct gw_session *session);

/* To be called when the client was heard over any transport. */
static inline void gw_session_heard(struct gw_event_queue *events, struct gw_session *session)
{
    if (session->probe_wanted)
        gw_session_report_alive(events, session);
}

/* An inner packet passed. `control`: it is ICMP, IGMP or MLD, and does not end idleness. */
static inline void gw_session_mark_used(struct gw_session *session, uint64_t now, bool control)
{
    __atomic_store_n(&session->account->counters.last_data_ns, now, __ATOMIC_RELAXED);
    if (control)
        return;
    session->used = now;
    session->idle_told = false;
}

static inline void gw_session_drop_rx(struct gw_session *session) { gw_add(&session->account->counters.rx_dropped, 1); }
static inline void gw_session_drop_tx(struct gw_session *session) { gw_add(&session->account->counters.tx_dropped, 1); }

#endif
