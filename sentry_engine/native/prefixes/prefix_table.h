/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Builds a prefix table: sorted disjoint ranges under a direct index (after DXR: Zec, Rizzo, Mikuc 2012). lookup.h reads it.
 *
 * A large IPv4 table has its ranges inside the index (lines.h), so that a lookup is one access to memory.
 *
 * IPv6 is indexed by its high 64 bits. A /64 that holds longer prefixes has ranges of its own over the low 64.
 */
#ifndef SENTRY_ENGINE_PREFIX_TABLE_H
#define SENTRY_ENGINE_PREFIX_TABLE_H

#include "prefixes/flatten.h"
#include "snapshot_layout.h"

/* A prefix table before it is copied into a snapshot. Arrays are owned; se_draft_free. */
struct se_draft {
    struct se_index index4, index6;
    struct se_line4 *lines4; /* NULL: slots4 */
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

/* Returns 0, or -ENOMEM or -E2BIG with nothing left to free. */
int se_draft_build(struct se_draft *draft, const struct se_ranges *ranges4, const struct se_ranges *ranges6);
void se_draft_free(struct se_draft *draft);

#endif
