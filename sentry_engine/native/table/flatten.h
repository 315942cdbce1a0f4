/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Nested prefixes of several tiers become disjoint ranges: one sweep over the sorted rows with the stack of the prefixes
 * that are open. A range is its first address and the cell that holds from there to the next one.
 */
#ifndef SENTRY_ENGINE_FLATTEN_H
#define SENTRY_ENGINE_FLATTEN_H

#include "table/cells.h"

/* What a value of a tier other than LIMITS means: columns of sentry_engine.cores.plan.Entry. The memory is the caller's. */
struct se_entry_columns {
    const uint8_t *actions; /* enum se_action, or SE_INFORMS */
    const uint8_t *reasons; /* sentry_engine.verdict.Reason */
    const uint32_t *rules;  /* UINT32_MAX: none */
    const uint64_t *expires; /* ns; UINT64_MAX: never */
    uint64_t count;
};

/* An entry that expires, at the place of one row. From `expires` on, `next` holds, the value of the next shorter prefix. */
struct se_timed {
    uint64_t expires;     /* ns */
    uint32_t value;       /* the entry, without SE_VALUE_TIMED */
    uint32_t next;        /* a value, or SE_NO_VALUE */
    uint32_t next_length; /* of the prefix that `next` comes from */
    uint32_t reserved;
};

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

/* Rows must be sorted and checked. Adds to `cells` and `timed`. Returns 0, -ENOMEM or -E2BIG; then `ranges` is empty. */
int se_flatten(const struct se_rows *rows, const struct se_entry_columns *entries, struct se_cells *cells,
               struct se_timed_list *timed, struct se_ranges *ranges);
void se_ranges_free(struct se_ranges *ranges);

#endif
