/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "prefixes/prefix_table.h"

#include "prefixes/lines.h"

#include <errno.h>
#include <stdlib.h>

#define MIN_SLOTS (1u << 8)
#define MIN_LINES 8u
#define MAX_SLOTS (1u << 20) /* 4 MB of index: about one range a slot at a million prefixes */
#define MANY_RANGES (1u << 18) /* 3 MB of ranges: no cache of one core holds them */
#define RANGES_A_LINE 8u     /* at most, on average */
#define TAIL_SHARE 1024u     /* at most a thousandth of the ranges at either end lies outside of the indexed span */

/* A power of two, at least one for each of `parts`, as far as MAX_SLOTS allows. */
static uint32_t choose_slots(size_t parts, uint32_t least)
{
    uint32_t slots = least;

    while (slots < parts && slots < MAX_SLOTS)
        slots *= 2;
    return slots;
}

/*
 * Spreads the slots over the span in which the ranges lie. Global unicast IPv6 is an eighth of the space, and registries
 * fill it from few /12s, so a fixed choice of bits would leave most slots empty. Outliers share the first and last slot.
 */
static struct se_index fit_index(const uint64_t *starts, size_t count, uint32_t slots)
{
    struct se_index index = {.slots = slots};
    size_t tail = count / TAIL_SHARE;
    uint64_t first = starts[count > 1 ? 1 + tail : 0], last = starts[count - 1 - tail];

    if (last < first)
        last = first;
    index.base = first;
    while (index.shift < 63 && (last - first) >> index.shift >= index.slots)
        index.shift++;
    return index;
}

/* Returns slots + 1 numbers: the keys of slot i lie in the ranges slot[i] to slot[i + 1]. */
static uint32_t *fill_slots(const struct se_index *index, const uint64_t *starts, size_t count)
{
    uint32_t *slots = malloc((index->slots + 1u) * sizeof *slots);
    size_t range = 0;

    if (!slots)
        return NULL;
    slots[0] = 0;
    for (uint32_t slot = 1; slot < index->slots; slot++) {
        uint64_t first = se_slot_start(index, slot);
        while (range + 1 < count && starts[range + 1] <= first)
            range++;
        slots[slot] = (uint32_t)range;
    }
    slots[index->slots] = (uint32_t)(count - 1);
    return slots;
}

static int build_lines(struct se_draft *draft, const uint64_t *starts, const struct se_ranges *ranges)
{
    uint32_t *slots;
    int rc;

    draft->index4 = fit_index(starts, ranges->count, choose_slots(ranges->count / RANGES_A_LINE, MIN_LINES));
    slots = fill_slots(&draft->index4, starts, ranges->count);
    if (!slots)
        return -ENOMEM;
    rc = se_lines_build(&draft->index4, slots, ranges, &draft->lines4, &draft->ranges4, &draft->count4);
    free(slots);
    return rc;
}

static int build_ranges4(struct se_draft *draft, const uint64_t *starts, const struct se_ranges *ranges)
{
    draft->count4 = ranges->count;
    draft->ranges4 = malloc(ranges->count * sizeof *draft->ranges4);
    for (size_t i = 0; draft->ranges4 && i < ranges->count; i++)
        draft->ranges4[i] = (struct se_range4){(uint32_t)starts[i], ranges->at[i].cell};
    draft->index4 = fit_index(starts, ranges->count, choose_slots(ranges->count, MIN_SLOTS));
    draft->slots4 = fill_slots(&draft->index4, starts, ranges->count);
    return draft->ranges4 && draft->slots4 ? 0 : -ENOMEM;
}

static int build4(struct se_draft *draft, const struct se_ranges *ranges)
{
    uint64_t *starts = malloc(ranges->count * sizeof *starts);
    int rc;

    if (!starts)
        return -ENOMEM;
    for (size_t i = 0; i < ranges->count; i++)
        starts[i] = ranges->at[i].start.hi >> 32;
    rc = build_lines(draft, starts, ranges);
    if (!rc && !draft->lines4)
        rc = build_ranges4(draft, starts, ranges);
    free(starts);
    return rc;
}

static void add_range6(struct se_draft *draft, uint64_t start, uint32_t cell)
{
    draft->starts6[draft->count6] = start;
    draft->cells6[draft->count6++] = cell;
}

static void add_deep_range(struct se_draft *draft, uint64_t start, uint32_t cell)
{
    draft->deep_starts[draft->deep_count] = start;
    draft->deep_cells[draft->deep_count++] = cell;
}

/* Makes a group of the ranges `first` to `end`, which start in one /64 and not all at its first address. */
static void add_group(struct se_draft *draft, const struct se_boundary *at, size_t first, size_t end)
{
    struct se_deep_group *group = &draft->groups[draft->group_count];
    uint64_t hi = at[first].start.hi;

    add_range6(draft, hi, SE_CELL_DEEP | (uint32_t)draft->group_count++);
    group->first = (uint32_t)draft->deep_count;
    if (at[first].start.lo != 0)
        add_deep_range(draft, 0, at[first - 1].cell); /* the first boundary is address 0, so there is one before */
    for (size_t i = first; i < end; i++)
        add_deep_range(draft, at[i].start.lo, at[i].cell);
    group->count = (uint32_t)draft->deep_count - group->first;
    if (hi != UINT64_MAX)
        add_range6(draft, hi + 1, at[end - 1].cell);
}

static void split_ranges6(struct se_draft *draft, const struct se_ranges *ranges)
{
    const struct se_boundary *at = ranges->at;

    for (size_t i = 0, end; i < ranges->count; i = end) {
        uint64_t hi = at[i].start.hi;
        for (end = i + 1; end < ranges->count && at[end].start.hi == hi; end++)
            ;
        if (draft->count6 && draft->starts6[draft->count6 - 1] == hi)
            draft->count6--; /* the range after the previous group is empty */
        if (end - i == 1 && at[i].start.lo == 0)
            add_range6(draft, hi, at[i].cell);
        else
            add_group(draft, at, i, end);
    }
}

static int build6(struct se_draft *draft, const struct se_ranges *ranges)
{
    size_t deep = 0;

    for (size_t i = 0; i < ranges->count; i++)
        deep += ranges->at[i].start.lo != 0;
    draft->starts6 = malloc((ranges->count + deep + 1) * sizeof *draft->starts6);
    draft->cells6 = malloc((ranges->count + deep + 1) * sizeof *draft->cells6);
    draft->groups = malloc((deep + 1) * sizeof *draft->groups);
    draft->deep_starts = malloc((2 * deep + 1) * sizeof *draft->deep_starts);
    draft->deep_cells = malloc((2 * deep + 1) * sizeof *draft->deep_cells);
    if (!draft->starts6 || !draft->cells6 || !draft->groups || !draft->deep_starts || !draft->deep_cells)
        return -ENOMEM;
    split_ranges6(draft, ranges);
    draft->index6 = fit_index(draft->starts6, draft->count6, choose_slots(draft->count6 > MANY_RANGES ? draft->count6 / RANGES_A_LINE : draft->count6, MIN_SLOTS));
    draft->slots6 = fill_slots(&draft->index6, draft->starts6, draft->count6);
    return draft->slots6 ? 0 : -ENOMEM;
}

int se_draft_build(struct se_draft *draft, const struct se_ranges *ranges4, const struct se_ranges *ranges6)
{
    int rc = 0;

    *draft = (struct se_draft){0};
    if (ranges4->count > UINT32_MAX / 2 || ranges6->count > UINT32_MAX / 4)
        return -E2BIG;
    rc = build4(draft, ranges4);
    if (!rc)
        rc = build6(draft, ranges6);
    if (rc)
        se_draft_free(draft);
    return rc;
}

void se_draft_free(struct se_draft *draft)
{
    free(draft->lines4);
    free(draft->slots4);
    free(draft->slots6);
    free(draft->ranges4);
    free(draft->starts6);
    free(draft->cells6);
    free(draft->groups);
    free(draft->deep_starts);
    free(draft->deep_cells);
    *draft = (struct se_draft){0};
}
