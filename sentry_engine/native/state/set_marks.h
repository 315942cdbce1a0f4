/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A bit for each set of a table, so that a walk touches only the sets that matter. Any thread may mark a set.
 */
#ifndef SENTRY_ENGINE_SET_MARKS_H
#define SENTRY_ENGINE_SET_MARKS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define SE_MARK_WORDS(sets) ((sets) / 64u)

static inline uint64_t se_mark_bit(uint32_t set)
{
    return UINT64_C(1) << set % 64;
}

static inline bool se_is_marked(const _Atomic uint64_t *marks, uint32_t set)
{
    return (atomic_load_explicit(&marks[set / 64], memory_order_relaxed) & se_mark_bit(set)) != 0;
}

static inline void se_mark(_Atomic uint64_t *marks, uint32_t set)
{
    if (!se_is_marked(marks, set))
        atomic_fetch_or_explicit(&marks[set / 64], se_mark_bit(set), memory_order_relaxed);
}

static inline void se_unmark(_Atomic uint64_t *marks, uint32_t set)
{
    atomic_fetch_and_explicit(&marks[set / 64], ~se_mark_bit(set), memory_order_relaxed);
}

/* The first marked set from `set` on, or `sets`. */
static inline uint32_t se_next_mark(const _Atomic uint64_t *marks, uint32_t set, uint32_t sets)
{
    while (set < sets) {
        uint64_t rest = atomic_load_explicit(&marks[set / 64], memory_order_relaxed) >> set % 64;
        if (rest)
            return set + (uint32_t)__builtin_ctzll(rest);
        set = (set / 64 + 1) * 64;
    }
    return sets;
}

#endif
