/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Interrupt moderation. A peer that sends one record per system call wakes the worker once per record, and waking costs more than
 * the record. So above a rate of packets, the links that bring them rest after a small turn, and batches form (busy_links.h). The
 * worker goes on with its other links, so a calm one never waits. The rates of the last window decide.
 */
#ifndef VPN_FRONTEND_PACING_H
#define VPN_FRONTEND_PACING_H

#include "runtime/clock.h"
#include "runtime/pollable.h"

#define GW_PACING_WINDOW (2 * GW_MS)
#define GW_PACING_RATE 10u            /* packets per millisecond from which on a worker is busy: 110 Mbit/s of large ones */
#define GW_PACING_LINK_RATE 2u        /* the same of a link of a busy worker */
#define GW_PACING_FULL 48u            /* packets in a turn that need no pause */
#define GW_PACING_FULL_UPLOAD 88u     /* the same while clients upload: a read of a connection takes some 90 of them */
#define GW_PACING_BATCH 16u           /* datagrams merged by the kernel that need no pause either */
#define GW_PACING_REST 300000u        /* ns; 36 packets of 1400 bytes at 1.3 Gbit/s */
#define GW_PACING_UPLOAD_REST 500000u  /* ns, while clients upload: they send each packet by itself, the kernel sends many at once */
#define GW_PACING_SHARED_REST 60000u   /* ns; where a calm client's datagrams come over the same UDP socket */
#define GW_PACING_SHARED (100 * GW_MS)  /* for so long after datagrams of two clients came over one */
#define GW_PACING_CALM (20 * GW_MS)   /* a session is calm after so long without a busy window */
#define GW_PACING_LOOK 100000u        /* ns of work for busy links before the calm ones are looked at */
#define GW_PACING_ANSWER (5 * GW_MS)  /* for so long the answer to a packet of a calm link is awaited */

/* How much a session brings and takes. */
struct gw_session_rate {
    uint64_t since, busy_until;
    uint32_t packets;               /* since `since` */
};

struct gw_pacing {
    uint64_t since;
    uint32_t packets;               /* in this window */
    uint32_t received;              /* of those, and of the turn's: TLS records, and datagrams that the kernel merged with no other */
    uint32_t turn;                  /* packets in this turn of the loop */
    bool batched;                   /* in this turn the kernel had merged many datagrams: their client needs no rest to send batches */
    bool busy;
    bool uploads;                   /* three of four packets of the last window were received so */
};

/* True if busy links rest after this turn, as it is by now. */
static inline bool gw_pacing_is_small(const struct gw_pacing *pacing)
{
    return pacing->busy && pacing->turn && !pacing->batched && pacing->turn < (pacing->uploads ? GW_PACING_FULL_UPLOAD : GW_PACING_FULL);
}

/* Counts a packet from a client in this turn. `alone`: a client that sends many at once would only wait longer for their answers. */
static inline void gw_pacing_count_received(struct gw_pacing *pacing, bool alone)
{
    pacing->turn++;
    pacing->received += alone;
}

/* To be called at the end of a turn that began at `now`. */
static inline void gw_pacing_end_turn(struct gw_pacing *pacing, uint64_t now)
{
    pacing->packets += pacing->turn;
    pacing->turn = 0;
    pacing->batched = false;
    if (now - pacing->since < GW_PACING_WINDOW)
        return;
    pacing->busy = pacing->packets > (now - pacing->since) / GW_MS * GW_PACING_RATE;
    pacing->uploads = pacing->received > pacing->packets / 4 * 3;
    pacing->since = now;
    pacing->packets = pacing->received = 0;
}

/* Adds what a link brought or took in a turn of a worker with `pacing`. Returns whether the link is busy. */
static inline bool gw_pacing_count_link(const struct gw_pacing *pacing, struct gw_pollable *link, uint32_t packets, uint64_t now)
{
    uint64_t time = now - link->since;
    bool busy;

    link->packets += packets;
    if (time < GW_PACING_WINDOW)
        return link->busy;
    busy = pacing->busy && link->packets > time / GW_MS * GW_PACING_LINK_RATE;
    link->since = now;
    link->packets = 0;
    return busy;
}

/* Counts a packet from or to a session of a worker with `pacing`. */
static inline void gw_pacing_count_session(const struct gw_pacing *pacing, struct gw_session_rate *rate, uint64_t now)
{
    uint64_t time = now - rate->since;

    rate->packets++;
    if (time < GW_PACING_WINDOW)
        return;
    if (pacing->busy && rate->packets > time / GW_MS * GW_PACING_LINK_RATE)
        rate->busy_until = now + GW_PACING_CALM;
    rate->since = now;
    rate->packets = 0;
}

#endif
