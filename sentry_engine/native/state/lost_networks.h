/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The networks of rows that were cleared, or told of as changed and evicted since: what was saved of them has to be deleted.
 * Bounded. What does not fit is counted as overflown, and the reader saves everything. Any thread may note and take.
 */
#ifndef SENTRY_ENGINE_LOST_NETWORKS_H
#define SENTRY_ENGINE_LOST_NETWORKS_H

#include "ip_address.h"
#include "memory/spinlock.h"

#include <stdbool.h>

#define SE_LOST_ROOM 32768u /* 0.8 MB, of which only what is used is touched */

struct se_lost_networks {
    struct se_spinlock lock;
    uint32_t count;
    bool overflown;
    struct se_network network[SE_LOST_ROOM];
};

/* May be called with the lock of a row held. */
static inline void se_lost_note(struct se_lost_networks *lost, const struct se_network *network)
{
    se_spinlock_lock(&lost->lock);
    if (lost->count < SE_LOST_ROOM)
        lost->network[lost->count++] = *network;
    else
        lost->overflown = true;
    se_spinlock_unlock(&lost->lock);
}

/* Removes up to `room` networks, the last ones first, and copies them. Returns how many. */
static inline uint32_t se_lost_take(struct se_lost_networks *lost, struct se_network *out, uint32_t room)
{
    uint32_t taken = 0;

    se_spinlock_lock(&lost->lock);
    while (taken < room && lost->count)
        out[taken++] = lost->network[--lost->count];
    se_spinlock_unlock(&lost->lock);
    return taken;
}

/* True if networks did not fit since the last call. */
static inline bool se_lost_take_overflow(struct se_lost_networks *lost)
{
    bool overflown;

    se_spinlock_lock(&lost->lock);
    overflown = lost->overflown;
    lost->overflown = false;
    se_spinlock_unlock(&lost->lock);
    return overflown;
}

#endif
