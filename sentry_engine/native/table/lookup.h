/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Lookups in a prefix table. The index names the first and last range that can hold a key; a branch-free binary search
 * does the rest.
 */
#ifndef SENTRY_ENGINE_LOOKUP_H
#define SENTRY_ENGINE_LOOKUP_H

#include "ip_address.h"
#include "prefixes/cells.h"
#include "table/policy_view.h"

static inline uint32_t se_index_slot(const struct se_index *index, uint64_t key)
{
    uint64_t slot = key < index->base ? 0 : (key - index->base) >> index->shift;

    return slot < index->slots ? (uint32_t)slot : index->slots - 1;
}

/* The index of the last of `count` rising words that is not above `key`. Requires that the first one is not. */
static inline size_t se_search(const uint64_t *starts, size_t count, uint64_t key)
{
    const uint64_t *at = starts;

    while (count > 1) {
        size_t half = count / 2;
        at += at[half] <= key ? half : 0;
        count -= half;
    }
    return (size_t)(at - starts);
}

/*
 * A lookup has three steps. A caller with several lookups does each step for all of them, so that their cache misses overlap
 * (decision/decide.c). First step: the two slots between which the range lies.
 */
static inline const uint32_t *se_find_slot(const struct se_policy *policy, struct se_address address)
{
    if (se_is_ipv4(address))
        return policy->slots4 + se_index_slot(&policy->snapshot->index4, (uint32_t)address.lo);
    return policy->slots6 + se_index_slot(&policy->snapshot->index6, address.hi);
}

/* Second step: the ranges. */
static inline void se_prefetch_ranges(const struct se_policy *policy, struct se_address address, const uint32_t *slot)
{
    size_t middle = slot[0] + (slot[1] - slot[0] + 1) / 2;

    if (se_is_ipv4(address)) {
        __builtin_prefetch(policy->ranges4 + middle);
    } else {
        __builtin_prefetch(policy->starts6 + middle);
        __builtin_prefetch(policy->cells6 + middle);
    }
}

static inline uint32_t se_search4(const struct se_policy *policy, uint32_t key, const uint32_t *slot)
{
    const struct se_range4 *at = policy->ranges4 + slot[0];
    size_t count = slot[1] - slot[0] + 1;

    while (count > 1) {
        size_t half = count / 2;
        at += at[half].start <= key ? half : 0;
        count -= half;
    }
    return at->cell;
}

static inline uint32_t se_search6(const struct se_policy *policy, struct se_address address, const uint32_t *slot)
{
    size_t at = slot[0] + se_search(policy->starts6 + slot[0], slot[1] - slot[0] + 1, address.hi);
    uint32_t cell = policy->cells6[at];

    if (__builtin_expect(cell & SE_CELL_DEEP, 0)) {
        const struct se_deep_group *group = &policy->groups[cell & ~SE_CELL_DEEP];
        cell = policy->deep_cells[group->first + se_search(policy->deep_starts + group->first, group->count, address.lo)];
    }
    return cell;
}

/* Third step: the cell. */
static inline const uint32_t *se_find_cell(const struct se_policy *policy, struct se_address address, const uint32_t *slot)
{
    if (se_is_ipv4(address))
        return policy->cells + se_search4(policy, (uint32_t)address.lo, slot);
    return policy->cells + se_search6(policy, address, slot);
}

static inline const uint32_t *se_lookup(const struct se_policy *policy, struct se_address address)
{
    return se_find_cell(policy, address, se_find_slot(policy, address));
}

/* The index of the limit of `event` in a cell, or SE_NO_LIMIT. Requires an event below the policy's event_count. */
static inline uint32_t se_limit_in(const struct se_policy *policy, const uint32_t *cell, uint32_t event)
{
    uint32_t set = se_cell_value(cell, SE_LIMITS_TIER);

    return set == SE_NO_VALUE ? SE_NO_LIMIT : policy->sets[set * policy->snapshot->event_count + event];
}

/* The limit of any event number for a source. NULL: there is none. */
static inline const struct se_limit *se_find_limit(const struct se_policy *policy, struct se_address source, uint32_t event)
{
    uint32_t limit = SE_NO_LIMIT;

    if (event < policy->snapshot->event_count)
        limit = se_limit_in(policy, se_lookup(policy, source), event);
    return limit == SE_NO_LIMIT ? NULL : &policy->limits[limit];
}

#endif
