/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Lookups in a prefix table. The index names the first and last range that can hold a key; a branch-free binary search
 * does the rest. A line of a large IPv4 table has all of its ranges in itself, or says where they are.
 */
#ifndef SENTRY_ENGINE_LOOKUP_H
#define SENTRY_ENGINE_LOOKUP_H

#include "ip_address.h"
#include "prefixes/cells.h"
#include "table/policy_view.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

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
 * (decision/decide.c). First step: the line, or the two slots between which the range lies.
 */
static inline const void *se_find_slot(const struct se_policy *policy, struct se_address address)
{
    uint32_t slot;

    if (!se_is_ipv4(address))
        return policy->slots6 + se_index_slot(&policy->snapshot->index6, address.hi);
    slot = se_index_slot(&policy->snapshot->index4, (uint32_t)address.lo);
    return policy->lines4 ? (const void *)(policy->lines4 + slot) : policy->slots4 + slot;
}

static inline uint64_t se_line_codes(const struct se_line4 *line)
{
    return line->codes[0] | (uint64_t)line->codes[1] << 16 | (uint64_t)line->codes[2] << 32;
}

/*
 * Second step: the ranges. Inlined always: GCC takes a function that only fetches for one without an effect, and drops its calls.
 */
__attribute__((always_inline)) static inline void se_prefetch_ranges(const struct se_policy *policy, struct se_address address, const void *found)
{
    const struct se_line4 *line = found;
    const uint32_t *slot = found;

    if (!se_is_ipv4(address)) {
        __builtin_prefetch(policy->starts6 + slot[0]);
        __builtin_prefetch(policy->starts6 + slot[1]);
        __builtin_prefetch(policy->cells6 + slot[0]);
        __builtin_prefetch(policy->cells6 + slot[1]);
    } else if (!policy->lines4) {
        __builtin_prefetch(policy->ranges4 + slot[0] + (slot[1] - slot[0] + 1) / 2);
    } else if (se_line_codes(line) & SE_LINE_SPILLED) {
        const struct se_range4 *ranges = policy->ranges4 + line->cells[0];
        __builtin_prefetch(ranges + line->cells[1] / 4);
        __builtin_prefetch(ranges + line->cells[1] / 2);
        __builtin_prefetch(ranges + line->cells[1] * UINT64_C(3) / 4);
    }
}

static inline uint32_t se_search4(const struct se_policy *policy, uint32_t key, size_t first, size_t count)
{
    const struct se_range4 *at = policy->ranges4 + first;

    while (count > 1) {
        size_t half = count / 2;
        at += at[half].start <= key ? half : 0;
        count -= half;
    }
    return at->cell;
}

/* The number of starts of a line, which rise, that are not above `offset`. */
static inline unsigned se_count_starts(const struct se_line4 *line, uint16_t offset)
{
#if defined(__SSE2__)
    const __m128i *words = (const __m128i *)line; /* three words of codes, and the starts */
    __m128i above = _mm_set1_epi16((short)offset), none = _mm_setzero_si128();
    __m128i low = _mm_cmpeq_epi16(_mm_subs_epu16(_mm_loadu_si128(words), above), none);
    __m128i high = _mm_cmpeq_epi16(_mm_subs_epu16(_mm_loadu_si128(words + 1), above), none);
    unsigned bits = (unsigned)_mm_movemask_epi8(_mm_packs_epi16(low, high)) >> 3;

    return (unsigned)__builtin_ctz(~bits);
#else
    unsigned count = 0;

    for (unsigned i = 0; i < SE_LINE_STARTS; i++)
        count += line->starts[i] <= offset;
    return count;
#endif
}

static inline uint32_t se_search_line(const struct se_policy *policy, uint32_t key, const struct se_line4 *line)
{
    const struct se_index *index = &policy->snapshot->index4;
    uint64_t codes = se_line_codes(line);
    uint32_t offset;

    if (__builtin_expect((codes & SE_LINE_SPILLED) != 0, 0))
        return se_search4(policy, key, line->cells[0], line->cells[1]);
    offset = (key - (uint32_t)index->base) & ((1u << index->shift) - 1);
    return line->cells[codes >> 3 * se_count_starts(line, (uint16_t)offset) & 7];
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

/* Third step: the number of the cell, or the rule that decides (SE_CELL_RULE). */
static inline uint32_t se_find_cell(const struct se_policy *policy, struct se_address address, const void *found)
{
    const uint32_t *slot = found;

    if (!se_is_ipv4(address))
        return se_search6(policy, address, slot);
    if (policy->lines4)
        return se_search_line(policy, (uint32_t)address.lo, found);
    return se_search4(policy, (uint32_t)address.lo, slot[0], slot[1] - slot[0] + 1);
}

/* The cell of a number; of a rule the one of the other tiers. */
static inline const uint32_t *se_cell_of(const struct se_policy *policy, uint32_t number)
{
    if (number & SE_CELL_RULE)
        number = policy->beneath[number & SE_CELL_RULE_MASK] >> SE_BENEATH_SHIFT;
    return policy->cells + number;
}

static inline uint32_t se_lookup(const struct se_policy *policy, struct se_address address)
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
        limit = se_limit_in(policy, se_cell_of(policy, se_lookup(policy, source)), event);
    return limit == SE_NO_LIMIT ? NULL : &policy->limits[limit];
}

#endif
