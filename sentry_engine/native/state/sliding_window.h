/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Sliding windows: the recent events of verified sources. One row of 64 bytes for each (source, event), in sets of eight rows
 * with a lock each.
 *
 * Of a limit of up to 12 events, the first N pass in any window and the next one does not. Of a larger limit, never more than
 * N pass in any window either, and a burst at one instant is counted exactly; an event that shares a bucket with later ones
 * may count for up to a fifth of the window too long (window_row.h).
 *
 * A full set evicts a row whose events have all left the window; without one, the row nearest to that.
 */
#ifndef SENTRY_ENGINE_SLIDING_WINDOW_H
#define SENTRY_ENGINE_SLIDING_WINDOW_H

#include "ip_address.h"
#include "plan.h"

#define SE_WINDOW_SETS 32768u /* of 576 bytes: 262 144 rows in 18 MB */
#define SE_WINDOW_WAYS 8u

struct se_windows;
struct se_lost_networks;
struct se_window_set;

/* What a row counts. `hash` is the keyed hash of the source. */
struct se_window_key {
    uint64_t source;  /* the high word of an IPv6 source, the low one of an IPv4 source */
    uint64_t hash;
    uint32_t event;
    uint8_t length;   /* of the source's prefix: IPv4 97 to 128, IPv6 1 to 64 */
};

/* Returns 0 or -ENOMEM. */
int se_windows_open(struct se_windows **out);
void se_windows_close(struct se_windows *windows);

/* Locks the set of a key. The caller calls se_window_unlock, and does not block before. */
struct se_window_set *se_window_lock(struct se_windows *windows, const struct se_window_key *key);
void se_window_unlock(struct se_window_set *set);

/* ns until one more event passes; 0: now. Counts nothing, takes no row. Requires the lock of the set. */
uint64_t se_window_wait(struct se_window_set *set, const struct se_window_key *key, const struct se_limit *limit, uint64_t now);

/* Counts one event that se_window_wait let pass. Requires the lock of the set. */
void se_window_add(struct se_windows *windows, struct se_window_set *set, const struct se_window_key *key,
                   const struct se_limit *limit, uint64_t now);

/* Clears all events of a key, or its `points` newest ones. Requires the lock of the set. */
void se_window_clear(struct se_windows *windows, struct se_window_set *set, const struct se_window_key *key);
void se_window_pay_back(struct se_windows *windows, struct se_window_set *set, const struct se_window_key *key, uint32_t points);

/* Clears the events of all sources inside a network, set after set. */
void se_windows_clear(struct se_windows *windows, const struct se_network *network);

/* Events of a source. Times are ages in ns, since the clock of one core may mean nothing to the next. */
struct se_burst {
    struct se_network source;
    uint64_t first_age, last_age;
    uint32_t count, event;
};

#define SE_MAX_SET_BURSTS 96u /* in one set: eight rows of twelve */

/* NULL: the event has no limit. */
typedef const struct se_limit *(*se_limit_finder)(const void *policy, struct se_address source, uint32_t event);

/*
 * Copies the bursts of set number `set` (below SE_WINDOW_SETS) that still count under a policy, oldest first in each row.
 * Calls `find_limit` under the lock of the set. Returns how many.
 */
uint32_t se_windows_list(struct se_windows *windows, uint32_t set, se_limit_finder find_limit, const void *policy,
                         uint64_t now, struct se_burst out[SE_MAX_SET_BURSTS]);

/* As se_windows_list, of one key. Requires the lock of the set. */
uint32_t se_window_list(const struct se_window_set *set, const struct se_window_key *key, const struct se_limit *limit,
                        uint64_t now, struct se_burst out[SE_MAX_SET_BURSTS]);

/*
 * The first set from `set` on with rows that changed since they were taken, or SE_WINDOW_SETS; and the sources of those rows,
 * which count as unchanged from then on. Time alone changes no row.
 */
uint32_t se_windows_next_changed(const struct se_windows *windows, uint32_t set);
uint32_t se_windows_take_changed(struct se_windows *windows, uint32_t set, struct se_network out[SE_WINDOW_WAYS]);

/*
 * The sources of the rows of a set that had events when they were taken, and whose events have all left the window by `now`. Each
 * comes once, until it has events again.
 */
uint32_t se_windows_take_ended(struct se_windows *windows, uint32_t set, uint64_t now, struct se_network out[SE_WINDOW_WAYS]);

/*
 * Notes a change of the rows that count otherwise under one policy than under another: the window of their event is another one or
 * kept in another way, or only one of both policies limits it. Returns how many rows.
 */
uint32_t se_windows_compare(struct se_windows *windows, se_limit_finder find_limit, const void *before, const void *after);

/* The sources of rows that had events when they were taken and were evicted since. They are not among the changed ones. */
struct se_lost_networks *se_windows_lost(struct se_windows *windows);

/*
 * Counts a burst of an earlier core. It is never counted as older than the newest event of its row: it may expire late, not
 * early. Requires the lock of the set.
 */
void se_window_restore(struct se_windows *windows, struct se_window_set *set, const struct se_window_key *key,
                       const struct se_limit *limit, const struct se_burst *burst, uint64_t now);

/* Rows in use, and rows that were evicted. */
uint64_t se_windows_used(const struct se_windows *windows);
uint64_t se_windows_evicted(const struct se_windows *windows);

/* Bytes of one table: constant. */
uint64_t se_windows_bytes(void);

#endif
