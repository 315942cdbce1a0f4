/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "prefixes/flatten.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_OPEN (SE_TIERS * 129u) /* prefixes open at once: one of each length and tier */
#define UNKNOWN_CELL UINT32_MAX

/* An open prefix, and the value of its tier outside of it. */
struct frame {
    struct se_address last;
    uint32_t value, cell;
    uint8_t length, tier;
};

struct sweep {
    const struct se_entry_columns *entries;
    struct se_cells *cells;
    struct se_timed_list *timed;
    struct se_ranges *ranges;
    struct se_cell_content content;
    uint32_t cell;              /* the number of `content`, or UNKNOWN_CELL */
    struct se_address position; /* where `content` begins to hold */
    unsigned depth;
    struct frame open[MAX_OPEN];
};

static bool is_before(struct se_address a, struct se_address b)
{
    return a.hi != b.hi ? a.hi < b.hi : a.lo < b.lo;
}

static struct se_address last_of(const struct se_prefix_row *row)
{
    return (struct se_address){
        row->start.hi | ~se_high_bits(row->length < 64 ? row->length : 64),
        row->start.lo | ~se_high_bits(row->length > 64 ? row->length - 64u : 0),
    };
}

static int append_range(struct se_ranges *ranges, struct se_address start, uint32_t cell)
{
    if (ranges->count && ranges->at[ranges->count - 1].cell == cell)
        return 0;
    if (ranges->count == ranges->room) {
        size_t room = ranges->room ? 2 * ranges->room : 1024;
        struct se_boundary *wider = realloc(ranges->at, room * sizeof *wider);
        if (!wider)
            return -ENOMEM;
        ranges->at = wider;
        ranges->room = room;
    }
    ranges->at[ranges->count++] = (struct se_boundary){start, cell};
    return 0;
}

/* Appends the range up to `position`, where the content is about to change. */
static int advance(struct sweep *sweep, struct se_address position)
{
    int rc;

    if (se_address_equal(position, sweep->position))
        return 0;
    if (sweep->cell == UNKNOWN_CELL) {
        rc = se_cells_intern(sweep->cells, &sweep->content, &sweep->cell);
        if (rc)
            return rc;
    }
    rc = append_range(sweep->ranges, sweep->position, sweep->cell);
    sweep->position = position;
    return rc;
}

/* Closes the open prefixes that end before `start`; all of them if it is NULL. */
static int close_before(struct sweep *sweep, const struct se_address *start)
{
    while (sweep->depth) {
        const struct frame *top = &sweep->open[sweep->depth - 1];
        struct se_address after = {top->last.hi + (top->last.lo == UINT64_MAX), top->last.lo + 1};
        int rc;

        if (start && !is_before(top->last, *start))
            break;
        if (!(after.hi | after.lo))
            return 0; /* it reaches the end of the address space, and so do all prefixes around it */
        rc = advance(sweep, after);
        if (rc)
            return rc;
        sweep->content.value[top->tier] = top->value;
        sweep->content.length[top->tier] = top->length;
        sweep->cell = top->cell;
        sweep->depth--;
    }
    return 0;
}

static int append_timed(struct se_timed_list *timed, struct se_timed node)
{
    if (timed->count == SE_MAX_VALUES)
        return -E2BIG;
    if (timed->count == timed->room) {
        size_t room = timed->room ? 2 * timed->room : 64;
        struct se_timed *wider = realloc(timed->node, room * sizeof *wider);
        if (!wider)
            return -ENOMEM;
        timed->node = wider;
        timed->room = room;
    }
    timed->node[timed->count++] = node;
    return 0;
}

/* Replaces the value of a row's tier. A timed entry keeps the replaced value as the one that follows its expiry. */
static int cover(struct sweep *sweep, const struct se_prefix_row *row)
{
    uint32_t *value = &sweep->content.value[row->tier];
    uint8_t *length = &sweep->content.length[row->tier];
    uint32_t next = row->value;

    if (row->tier != SE_LIMITS_TIER) {
        const struct se_entry_columns *entries = sweep->entries;
        next |= (uint32_t)entries->actions[row->value] << SE_VALUE_ACTION_SHIFT;
        if (entries->expires[row->value] != SE_FOREVER) {
            int rc = append_timed(sweep->timed, (struct se_timed){entries->expires[row->value], next, *value, *length, 0});
            if (rc)
                return rc;
            next = SE_VALUE_TIMED | (uint32_t)(sweep->timed->count - 1);
        }
    }
    *value = next;
    *length = row->length;
    sweep->cell = UNKNOWN_CELL;
    return 0;
}

/* Opens the prefix that `count` rows of one tier share. The lowest value covers last, so it wins. */
static int open_prefix(struct sweep *sweep, const struct se_prefix_row *rows, size_t count)
{
    struct frame *frame = &sweep->open[sweep->depth++];
    int rc = 0;

    *frame = (struct frame){last_of(rows), sweep->content.value[rows->tier], sweep->cell, sweep->content.length[rows->tier], rows->tier};
    while (count && !rc)
        rc = cover(sweep, &rows[--count]);
    return rc;
}

static bool same_prefix(const struct se_prefix_row *a, const struct se_prefix_row *b)
{
    return se_address_equal(a->start, b->start) && a->length == b->length && a->tier == b->tier;
}

static int by_value(const void *a, const void *b)
{
    uint32_t first = ((const struct se_prefix_row *)a)->value, second = ((const struct se_prefix_row *)b)->value;

    return (first > second) - (first < second);
}

static int sweep_rows(struct sweep *sweep, const struct se_prefix_rows *rows)
{
    for (size_t i = 0, next; i < rows->count; i = next) {
        const struct se_prefix_row *row = &rows->row[i];
        int rc;

        for (next = i + 1; next < rows->count && same_prefix(row, &rows->row[next]); next++)
            ;
        if (next - i > 1)
            qsort(&rows->row[i], next - i, sizeof *row, by_value);
        rc = close_before(sweep, &row->start);
        if (!rc)
            rc = advance(sweep, row->start);
        if (!rc)
            rc = open_prefix(sweep, row, next - i);
        if (rc)
            return rc;
    }
    return close_before(sweep, NULL);
}

int se_flatten(const struct se_prefix_rows *rows, const struct se_entry_columns *entries, struct se_cells *cells,
               struct se_timed_list *timed, struct se_ranges *ranges)
{
    struct sweep *sweep = malloc(sizeof *sweep);
    int rc = -ENOMEM;

    *ranges = (struct se_ranges){0};
    if (!sweep)
        return rc;
    *sweep = (struct sweep){.entries = entries, .cells = cells, .timed = timed, .ranges = ranges};
    memset(sweep->content.value, 0xff, sizeof sweep->content.value);
    rc = sweep_rows(sweep, rows);
    if (!rc && sweep->cell == UNKNOWN_CELL)
        rc = se_cells_intern(cells, &sweep->content, &sweep->cell);
    if (!rc)
        rc = append_range(ranges, sweep->position, sweep->cell);
    if (rc)
        se_ranges_free(ranges);
    free(sweep);
    return rc;
}

void se_ranges_free(struct se_ranges *ranges)
{
    free(ranges->at);
    *ranges = (struct se_ranges){0};
}
