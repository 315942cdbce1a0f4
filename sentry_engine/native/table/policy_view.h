/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A policy in memory: the snapshot, the addresses of its sections, and the hit counters.
 */
#ifndef SENTRY_ENGINE_POLICY_VIEW_H
#define SENTRY_ENGINE_POLICY_VIEW_H

#include "snapshot_layout.h"
#include "table/policy.h"

#include <stdatomic.h>
#include <stddef.h>

struct se_policy {
    const struct se_snapshot *snapshot; /* owned, of `mapped` bytes; se_policy_free */
    size_t mapped;
    const struct se_line4 *lines4;      /* NULL: slots4 */
    const uint32_t *slots4;
    const struct se_range4 *ranges4;
    const uint32_t *slots6;
    const uint64_t *starts6;
    const uint32_t *cells6;
    const struct se_deep_group *groups;
    const uint64_t *deep_starts;
    const uint32_t *deep_cells;
    const uint32_t *cells, *beneath;
    const struct se_timed *timed;
    const struct se_entry *entries;
    const struct se_limit *limits;
    const uint32_t *sets;
    const struct se_payback *paybacks;
    _Atomic uint64_t *hits;             /* owned; by rule number */
};

/*
 * Makes a policy of a checked snapshot. Ownership of the block of `mapped` bytes from se_block_map passes to it, and without
 * memory the block is freed. Returns NULL then.
 */
struct se_policy *se_policy_open(const struct se_snapshot *snapshot, size_t mapped);

/* Lists the counters that are not 0, as se_policy_hits. */
uint32_t se_list_hits(_Atomic uint64_t *hits, uint32_t count, uint32_t *rules, uint64_t *counts, uint32_t room);

#endif
