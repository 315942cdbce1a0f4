/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * How often a source did what lately: one row of 64 bytes for a (source, event), in sets of eight rows under a lock each.
 * Only verified sources have rows.
 *
 * A limit of up to 12 events keeps their times: the first N pass in any sliding window, the N+1st does not. A larger limit
 * keeps six buckets of (first time, span, count), each taking events for a fifth of the window. A bucket is held until its
 * last event leaves the window, so never more than N pass in any window and a burst at one instant is exact; an event
 * that shares a bucket with later ones may be remembered up to a fifth of the window too long. Times are kept in units of
 * the smallest power of two ns for which a window is less than 2^30 units (1 ns up to a window of 1.07 s, 64 ns for a minute).
 *
 * A full set first gives up a row whose events have all left the window; only when it has none, the one nearest to that.
 */
#ifndef SENTRY_ENGINE_WINDOW_H
#define SENTRY_ENGINE_WINDOW_H

#include "table/policy.h"

#define SE_WINDOW_SETS 32768u /* of 576 bytes: 262 144 rows in 18 MB */

struct se_windows;
struct se_window_set;

/* What a row is about. `hash` is the secret hash of the source. */
struct se_window_key {
    uint64_t source;  /* the high word of an IPv6 source, the low one of an IPv4 source */
    uint64_t hash;
    uint32_t event;
    uint8_t length;   /* of the source's prefix; tells the families apart: IPv4 has 97 to 128, IPv6 1 to 64 */
};

/* Works out the units of a limit. */
void se_window_prepare(struct se_limit *limit);

/* Returns 0 or -ENOMEM. */
int se_windows_open(struct se_windows **out);
void se_windows_close(struct se_windows *windows);

/* The set of a key, locked until se_window_unlock. Nothing below blocks. */
struct se_window_set *se_window_lock(struct se_windows *windows, const struct se_window_key *key);
void se_window_unlock(struct se_window_set *set);

/* ns until one more event passes, 0 if it passes now. Counts nothing, takes no row. The set must be locked. */
uint64_t se_window_wait(struct se_window_set *set, const struct se_window_key *key, const struct se_limit *limit, uint64_t now);

/* Counts one event that se_window_wait let pass. The set must be locked. */
void se_window_add(struct se_windows *windows, struct se_window_set *set, const struct se_window_key *key,
                   const struct se_limit *limit, uint64_t now);

/* Forgets the events of a key, or its `points` newest ones. The set must be locked. */
void se_window_clear(struct se_window_set *set, const struct se_window_key *key);
void se_window_pay_back(struct se_window_set *set, const struct se_window_key *key, uint32_t points);

/* Forgets the events of all sources inside a network, set after set. */
void se_windows_forget(struct se_windows *windows, const struct se_network *network);

/* Events of a source, from `first` to `last`, as ages in ns: what they are told by outlives the clock they were counted in. */
struct se_burst {
    struct se_network source;
    uint64_t first_age, last_age;
    uint32_t count, event;
};

#define SE_MAX_SET_BURSTS 96u /* in one set: eight rows of twelve */

/*
 * Copies what the set number `set` (below SE_WINDOW_SETS) holds that still counts under a policy; returns how many bursts,
 * oldest first in each row.
 */
uint32_t se_windows_list(struct se_windows *windows, uint32_t set, const struct se_policy *policy, uint64_t now,
                         struct se_burst out[SE_MAX_SET_BURSTS]);

/*
 * Counts a burst of an earlier table, never as older than what its row holds already: it is forgotten late, not early. The
 * set must be locked.
 */
void se_window_restore(struct se_windows *windows, struct se_window_set *set, const struct se_window_key *key,
                       const struct se_limit *limit, const struct se_burst *burst, uint64_t now);

/* Rows that have been taken, and rows that made room for others. */
uint64_t se_windows_used(const struct se_windows *windows);
uint64_t se_windows_evicted(const struct se_windows *windows);

/* Bytes of one table, the same from the first source to the last. */
uint64_t se_windows_bytes(void);

#endif
