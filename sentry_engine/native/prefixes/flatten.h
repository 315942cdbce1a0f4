/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Turns nested prefixes of several tiers into disjoint ranges: one sweep over the sorted rows with a stack of the open
 * prefixes. A range is its first address and the cell that holds from there to the next range.
 */
#ifndef SENTRY_ENGINE_FLATTEN_H
#define SENTRY_ENGINE_FLATTEN_H

#include "prefixes/cells.h"
#include "prefixes/prefix_rows.h"
#include "snapshot_layout.h"

struct se_boundary {
    struct se_address start;
    uint32_t cell;
};

struct se_ranges {
    struct se_boundary *at; /* owned; se_ranges_free. The first one starts at address 0 */
    size_t count, room;
};

/* The timed entries of both families. */
struct se_timed_list {
    struct se_timed *node; /* owned; freed by the caller with free() */
    size_t count, room;
};

/* Requires sorted, checked rows. Adds to `cells` and `timed`. Returns 0, or -ENOMEM or -E2BIG with `ranges` empty. */
int se_flatten(const struct se_prefix_rows *rows, const struct se_entry_columns *entries, struct se_cells *cells,
               struct se_timed_list *timed, struct se_ranges *ranges);
void se_ranges_free(struct se_ranges *ranges);

#endif
