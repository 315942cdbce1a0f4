/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * How a busy worker lets batches form. A peer that sends one record per system call wakes us once per record, and the
 * waking costs more than the record. So above a rate of packets a worker whose turns stay small rests a moment between
 * them, as network cards moderate their interrupts. An idle tunnel never waits: the rate of the last window decides.
 */
#ifndef VPN_FRONTEND_PACE_H
#define VPN_FRONTEND_PACE_H

#include "runtime/clock.h"

#include <stdbool.h>

#define GW_PACE_WINDOW (2 * GW_MS)
#define GW_PACE_RATE 10u            /* packets per millisecond from which on a worker is busy: 110 Mbit/s of large ones */
#define GW_PACE_FULL 48u            /* packets in a turn that need no help */
#define GW_PACE_FULL_RECORDS 64u    /* the same where most came as TLS records: one read takes more of them, for one flush */
#define GW_PACE_REST (300 * 1000l)  /* ns; 36 packets of 1400 bytes at 1.3 Gbit/s */

struct gw_pace {
    uint64_t since;
    uint32_t packets;               /* of this window */
    uint32_t turn;                  /* of this turn of the loop */
    uint32_t records;               /* of those, received in TLS records */
    bool busy;
};

/* Whether this turn, as it is by now, is one to rest after. */
static inline bool gw_pace_is_small(const struct gw_pace *pace)
{
    return pace->busy && pace->turn && pace->turn < (pace->records > pace->turn / 2 ? GW_PACE_FULL_RECORDS : GW_PACE_FULL);
}

/* At the end of a turn that began at `now`. */
static inline void gw_pace_rest(struct gw_pace *pace, uint64_t now)
{
    const struct timespec rest = { .tv_nsec = GW_PACE_REST };
    uint32_t turn = pace->turn;
    bool small = gw_pace_is_small(pace);

    pace->turn = pace->records = 0;
    pace->packets += turn;
    if (now - pace->since >= GW_PACE_WINDOW) {
        pace->busy = pace->packets > (now - pace->since) / GW_MS * GW_PACE_RATE;
        pace->since = now;
        pace->packets = 0;
    }
    if (small && pace->busy)
        nanosleep(&rest, NULL);
}

#endif
