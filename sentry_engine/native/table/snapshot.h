/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * From the columns of a plan to the block of memory that a policy is.
 */
#ifndef SENTRY_ENGINE_SNAPSHOT_H
#define SENTRY_ENGINE_SNAPSHOT_H

#include "table/policy.h"

#define SE_MAX_WINDOW (UINT64_C(315360000) * 1000000000u) /* ns: ten years */

/* sentry_engine.cores.plan.Plan as columns. All memory is the caller's and only read. */
struct se_plan_columns {
    uint64_t version;
    struct se_table_columns tables[SE_TIERS];
    struct se_entry_columns entries;
    const struct se_limit *limits;
    const uint32_t *sets;             /* [set_count][event_count]: a limit or SE_NO_LIMIT */
    const struct se_payback *paybacks;
    uint32_t limit_count, set_count, event_count, payback_count, rule_count;
    uint32_t escalate_after;
    uint8_t default_action, on_missing, ipv4_prefix, ipv6_prefix;
};

/*
 * Builds a snapshot in memory of its own (se_block_map) of `*mapped` bytes. Returns 0, -ENOMEM, -E2BIG or -EINVAL, the
 * last two with `fault` filled.
 */
int se_snapshot_build(const struct se_plan_columns *plan, struct se_snapshot **out, size_t *mapped, struct se_fault *fault);

#endif
