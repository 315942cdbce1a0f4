/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Interrupt moderation for a worker. A peer that sends one record per system call wakes the worker once per record, and waking
 * costs more than the record. So above a rate of packets, a worker whose turns stay small pauses between them, and batches form. An
 * idle tunnel never waits: the rate of the last window decides.
 */
#ifndef VPN_FRONTEND_PACING_H
#define VPN_FRONTEND_PACING_H

#include "runtime/clock.h"

#include <stdbool.h>

#define GW_PACING_WINDOW (2 * GW_MS)
#define GW_PACING_RATE 10u            /* packets per millisecond from which on a worker is busy: 110 Mbit/s of large ones */
#define GW_PACING_FULL 48u            /* packets in a turn that need no pause */
#define GW_PACING_FULL_RECORDS 64u    /* the same where most were TLS records: a read takes more of them, for one flush */
#define GW_PACING_SLEEP (300 * 1000l)  /* ns; 36 packets of 1400 bytes at 1.3 Gbit/s */

struct gw_pacing {
    uint64_t since;
    uint32_t packets;               /* in this window */
    uint32_t turn;                  /* packets in this turn of the loop */
    uint32_t records;               /* of those, received as TLS records */
    bool busy;
};

/* True if a pause is due after this turn, as it is by now. */
static inline bool gw_pacing_is_small(const struct gw_pacing *pacing)
{
    return pacing->busy && pacing->turn &&
           pacing->turn < (pacing->records > pacing->turn / 2 ? GW_PACING_FULL_RECORDS : GW_PACING_FULL);
}

/* Pauses if due. To be called at the end of a turn that began at `now`. */
static inline void gw_pacing_pause(struct gw_pacing *pacing, uint64_t now)
{
    const struct timespec pause = { .tv_nsec = GW_PACING_SLEEP };
    uint32_t turn = pacing->turn;
    bool small = gw_pacing_is_small(pacing);

    pacing->turn = pacing->records = 0;
    pacing->packets += turn;
    if (now - pacing->since >= GW_PACING_WINDOW) {
        pacing->busy = pacing->packets > (now - pacing->since) / GW_MS * GW_PACING_RATE;
        pacing->since = now;
        pacing->packets = 0;
    }
    if (small && pacing->busy)
        nanosleep(&pause, NULL);
}

#endif
