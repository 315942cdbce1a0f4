/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The prefix table: sorted disjoint ranges under a direct index (after DXR, Zec, Rizzo, Mikuc 2012). The index names the
 * first and last range that a key can be in, a binary search without branches does the rest.
 *
 * IPv6 is searched by its high 64 bits. A /64 that holds longer prefixes has ranges of its own over the low 64.
 */
#ifndef SENTRY_ENGINE_PREFIX_TABLE_H
#define SENTRY_ENGINE_PREFIX_TABLE_H

#include "table/policy.h"
#include "table/prefix_rows.h"

/* A prefix table on its way to a snapshot. Arrays are owned; se_draft_free. */
struct se_draft {
    struct se_index index4, index6;
    uint32_t *slots4, *slots6;
    struct se_range4 *ranges4;
    size_t count4;
    uint64_t *starts6;
    uint32_t *cells6;
    size_t count6;
    struct se_deep_group *groups;
    size_t group_count;
    uint64_t *deep_starts;
    uint32_t *deep_cells;
    size_t deep_count;
};

/* Returns 0, -ENOMEM or -E2BIG; on failure nothing is left to free. */
int se_draft_build(struct se_draft *draft, const struct se_ranges *ranges4, const struct se_ranges *ranges6);
void se_draft_free(struct se_draft *draft);

static inline uint32_t se_index_slot(const struct se_index *index, uint64_t key)
{
    uint64_t slot = key < index->base ? 0 : (key - index->base) >> index->shift;

    return slot < index->slots ? (uint32_t)slot : index->slots - 1;
}

/* The first key of a slot; keys below the first slot's belong to it too. */
static inline uint64_t se_slot_start(const struct se_index *index, uint32_t slot)
{
    uint64_t offset = (uint64_t)slot << index->shift;

    return offset >> index->shift != slot || offset > UINT64_MAX - index->base ? UINT64_MAX : index->base + offset;
}

/* The last of `count` rising words that is not above `key`; the first one must not be. */
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
 * A lookup in three steps, so that who has several to make can let the memory of one step arrive while it does that step of
 * the others (decide.c). First: the two slots between which the range lies.
 */
static inline const uint32_t *se_find_slot(const struct se_policy *policy, struct se_address address)
{
    if (se_is_ipv4(address))
        return policy->slots4 + se_index_slot(&policy->snapshot->index4, (uint32_t)address.lo);
    return policy->slots6 + se_index_slot(&policy->snapshot->index6, address.hi);
}

/* Second: the ranges. */
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

/* Third: what all tiers hold there; see cells.h. */
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

/* The index of the limit of `event` in a cell, or SE_NO_LIMIT. The event must be below the policy's event_count. */
static inline uint32_t se_limit_in(const struct se_policy *policy, const uint32_t *cell, uint32_t event)
{
    uint32_t set = se_cell_value(cell, SE_LIMITS_TIER);

    return set == SE_NO_VALUE ? SE_NO_LIMIT : policy->sets[set * policy->snapshot->event_count + event];
}

/* The limit of an event, whatever its number, for a source; NULL: there is none. */
static inline const struct se_limit *se_find_limit(const struct se_policy *policy, struct se_address source, uint32_t event)
{
    uint32_t limit = SE_NO_LIMIT;

    if (event < policy->snapshot->event_count)
        limit = se_limit_in(policy, se_lookup(policy, source), event);
    return limit == SE_NO_LIMIT ? NULL : &policy->limits[limit];
}

#endif
