/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A cell holds the values of all tiers for a range of addresses, so that one lookup answers all tiers. Equal cells are
 * stored once. A cell's number is its offset in words.
 *
 *     word 0      bit i: tier i has a value here; bytes 1 to 3: prefix lengths of the first three of those tiers
 *     word 1...   their values, in the order of the tiers
 *     one more    if more than three tiers have a value: the prefix lengths of the fourth and later ones, a byte each
 *
 * Where a rule of the policy decides in any case, no cell is stored: its range names the rule (SE_CELL_RULE).
 *
 * A value of LIMITS is the number of a set of limits. A value of another tier is an entry with its action. With
 * SE_VALUE_TIMED set it is the number of a timed entry, which names the value that holds once it has expired.
 */
#ifndef SENTRY_ENGINE_CELLS_H
#define SENTRY_ENGINE_CELLS_H

#include "plan.h"
#include "snapshot_layout.h"

#include <stdbool.h>
#include <stddef.h>

#define SE_NO_VALUE UINT32_MAX
#define SE_VALUE_TIMED (1u << 31)
#define SE_VALUE_ACTION_SHIFT 29u
#define SE_VALUE_ACTION_MASK 3u /* enum se_action, or SE_INFORMS */
#define SE_VALUE_INDEX_MASK ((1u << SE_VALUE_ACTION_SHIFT) - 1)
#define SE_MAX_VALUES SE_VALUE_INDEX_MASK /* entries of a policy, and timed entries */

#define SE_CELL_WORDS (2u + SE_TIERS) /* of the largest cell */
#define SE_MAX_CELL_WORDS (1u << 30)  /* cell numbers leave the bits of SE_CELL_DEEP and SE_CELL_RULE free */

/* A cell before it is packed. */
struct se_cell_content {
    uint32_t value[SE_TIERS]; /* SE_NO_VALUE: nothing */
    uint8_t length[SE_TIERS]; /* of the prefix that the value comes from */
};

struct se_cells {
    uint32_t *word; /* owned; se_cells_free */
    size_t count, room;
    uint32_t *slot; /* open-addressed index of the cells by content, number + 1; 0: free */
    size_t slots, used;
    const struct se_entry_columns *entries; /* the caller's */
    uint32_t *beneath;                      /* owned; by rule, see se_cells_close */
    uint32_t rule_count;
};

/*
 * Cell 0 is the empty one. The rules of `entries`, which outlives the cells, are below `rule_count`. Returns 0 or -ENOMEM.
 */
int se_cells_open(struct se_cells *cells, const struct se_entry_columns *entries, uint32_t rule_count);
void se_cells_free(struct se_cells *cells);

/* Call after the last cell: makes `beneath` what it is in a snapshot. */
void se_cells_close(struct se_cells *cells);

/* Finds a cell, or stores it: its number, or the rule that decides in its place. Returns 0, -ENOMEM or -E2BIG. */
int se_cells_intern(struct se_cells *cells, const struct se_cell_content *content, uint32_t *number);

/* The number of bits set in a mask of tiers. */
static inline unsigned se_count_tiers(uint32_t mask)
{
    static const uint8_t of_nibble[16] = {0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4};

    return of_nibble[mask & 15] + of_nibble[mask >> 4 & 15];
}

/* Words of the cell that starts at `cell`. */
static inline unsigned se_cell_size(const uint32_t *cell)
{
    unsigned values = se_count_tiers(cell[0]);

    return 1 + values + (values > 3);
}

/* The value of a tier, or SE_NO_VALUE. */
static inline uint32_t se_cell_value(const uint32_t *cell, unsigned tier)
{
    uint32_t mask = cell[0] & 0xff;

    if (!(mask >> tier & 1))
        return SE_NO_VALUE;
    return cell[1 + se_count_tiers(mask & ((1u << tier) - 1))];
}

/* The length of the prefix that the value of a tier comes from. Requires that the tier has a value. */
static inline uint8_t se_cell_length(const uint32_t *cell, unsigned tier)
{
    uint32_t mask = cell[0] & 0xff;
    unsigned rank = se_count_tiers(mask & ((1u << tier) - 1));

    if (rank < 3)
        return (uint8_t)(cell[0] >> (8 + 8 * rank));
    return (uint8_t)(cell[1 + se_count_tiers(mask)] >> (8 * (rank - 3)));
}

#endif
