/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "prefixes/lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MOST_RANGES (SE_LINE_STARTS + 1u) /* of a line */
#define BYTES_A_RANGE 16u                 /* at most: slots, ranges and the cells that lines save take more */

/* The ranges `at[0]` to `at[count - 1]` of a slot, the first of which may begin before it. */
struct slot_ranges {
    const struct se_boundary *at;
    size_t count;
    uint64_t first; /* address */
};

static uint64_t start_of(const struct se_boundary *boundary)
{
    return boundary->start.hi >> 32;
}

static struct slot_ranges ranges_of(const struct se_index *index, const uint32_t *slots, const struct se_ranges *ranges, uint32_t slot)
{
    size_t first = slots[slot], last = slots[slot + 1];

    if (slot + 1 < index->slots && last > first && start_of(&ranges->at[last]) >= se_slot_start(index, slot + 1))
        last--; /* the next slot begins with it */
    return (struct slot_ranges){ranges->at + first, last - first + 1, se_slot_start(index, slot)};
}

static void set_codes(struct se_line4 *line, uint64_t codes)
{
    for (unsigned i = 0; i < 3; i++)
        line->codes[i] = (uint16_t)(codes >> 16 * i);
}

/* The place of a cell among those of a line, where it is put if it is new; SE_LINE_CELLS: no room. */
static unsigned place_cell(struct se_line4 *line, unsigned *used, uint32_t cell)
{
    for (unsigned i = 0; i < *used; i++) {
        if (line->cells[i] == cell)
            return i;
    }
    if (*used < SE_LINE_CELLS)
        line->cells[*used] = cell;
    return (*used)++;
}

/* Returns false if the ranges do not fit. */
static bool fill_line(const struct slot_ranges *ranges, struct se_line4 *line)
{
    uint64_t codes = 0;
    unsigned used = 0;

    if (ranges->count > MOST_RANGES)
        return false;
    *line = (struct se_line4){0};
    memset(line->starts, 0xff, sizeof line->starts);
    for (size_t i = 0; i < ranges->count; i++) {
        codes |= (uint64_t)place_cell(line, &used, ranges->at[i].cell) << 3 * i;
        if (used > SE_LINE_CELLS)
            return false;
        if (i)
            line->starts[i - 1] = (uint16_t)(start_of(&ranges->at[i]) - ranges->first);
    }
    set_codes(line, codes);
    return true;
}

static void spill(const struct slot_ranges *ranges, struct se_line4 *line, struct se_range4 *spilled, size_t *count)
{
    *line = (struct se_line4){.cells = {(uint32_t)*count, (uint32_t)ranges->count}};
    set_codes(line, SE_LINE_SPILLED);
    for (size_t i = 0; i < ranges->count; i++)
        spilled[(*count)++] = (struct se_range4){(uint32_t)start_of(&ranges->at[i]), ranges->at[i].cell};
}

/* Keys outside of the indexed span belong to the first and the last slot, which therefore do not fit into a line. */
static bool is_at_end(const struct se_index *index, uint32_t slot)
{
    return slot == 0 || slot + 1 == index->slots;
}

int se_lines_build(const struct se_index *index, const uint32_t *slots, const struct se_ranges *ranges, struct se_line4 **lines,
                   struct se_range4 **spilled, size_t *spilled_count)
{
    size_t room = ranges->count * BYTES_A_RANGE, size = index->slots * sizeof **lines, count = 0;

    *lines = NULL;
    if (index->shift > SE_LINE_SHIFT || size > room)
        return 0;
    *lines = malloc(size);
    *spilled = malloc((ranges->count + index->slots) * sizeof **spilled);
    for (uint32_t slot = 0; *lines && *spilled && slot < index->slots; slot++) {
        struct slot_ranges of_slot = ranges_of(index, slots, ranges, slot);
        if (is_at_end(index, slot) || !fill_line(&of_slot, *lines + slot))
            spill(&of_slot, *lines + slot, *spilled, &count);
    }
    *spilled_count = count;
    if (*lines && *spilled && size + count * sizeof **spilled <= room)
        return 0;
    int rc = *lines && *spilled ? 0 : -ENOMEM;
    free(*lines);
    free(*spilled);
    *lines = NULL;
    *spilled = NULL;
    return rc;
}
