/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "table/policy.h"

#include "memory/block.h"
#include "table/policy_view.h"
#include "table/snapshot.h"

#include <errno.h>
#include <stdlib.h>

static size_t hits_size(const struct se_snapshot *snapshot)
{
    return (snapshot->rule_count + (size_t)1) * sizeof(_Atomic uint64_t);
}

struct se_policy *se_policy_open(const struct se_snapshot *snapshot, size_t mapped)
{
    const uint8_t *base = (const uint8_t *)snapshot;
    struct se_policy *policy = calloc(1, sizeof *policy);
    _Atomic uint64_t *hits = se_block_map(hits_size(snapshot));

    if (!policy || !hits) {
        free(policy);
        if (hits)
            se_block_unmap((const void *)hits, hits_size(snapshot));
        se_block_unmap(snapshot, mapped);
        return NULL;
    }
    *policy = (struct se_policy){
        .snapshot = snapshot,
        .mapped = mapped,
        .lines4 = snapshot->lines4.count ? (const struct se_line4 *)(base + snapshot->lines4.offset) : NULL,
        .slots4 = (const uint32_t *)(base + snapshot->slots4.offset),
        .ranges4 = (const struct se_range4 *)(base + snapshot->ranges4.offset),
        .slots6 = (const uint32_t *)(base + snapshot->slots6.offset),
        .starts6 = (const uint64_t *)(base + snapshot->starts6.offset),
        .cells6 = (const uint32_t *)(base + snapshot->cells6.offset),
        .groups = (const struct se_deep_group *)(base + snapshot->groups.offset),
        .deep_starts = (const uint64_t *)(base + snapshot->deep_starts.offset),
        .deep_cells = (const uint32_t *)(base + snapshot->deep_cells.offset),
        .cells = (const uint32_t *)(base + snapshot->cells.offset),
        .beneath = (const uint32_t *)(base + snapshot->beneath.offset),
        .timed = (const struct se_timed *)(base + snapshot->timed.offset),
        .entries = (const struct se_entry *)(base + snapshot->entries.offset),
        .limits = (const struct se_limit *)(base + snapshot->limits.offset),
        .sets = (const uint32_t *)(base + snapshot->sets.offset),
        .paybacks = (const struct se_payback *)(base + snapshot->paybacks.offset),
        .hits = hits,
    };
    return policy;
}

int se_policy_build(const struct se_plan_columns *plan, struct se_policy **out, struct se_fault *fault)
{
    struct se_snapshot *snapshot;
    size_t mapped;
    int rc;

    *fault = (struct se_fault){0};
    rc = se_snapshot_build(plan, &snapshot, &mapped, fault);
    if (rc)
        return rc;
    *out = se_policy_open(snapshot, mapped);
    return *out ? 0 : -ENOMEM;
}

void se_policy_free(struct se_policy *policy)
{
    if (!policy)
        return;
    se_block_unmap((const void *)policy->hits, hits_size(policy->snapshot));
    se_block_unmap(policy->snapshot, policy->mapped);
    free(policy);
}

uint64_t se_policy_bytes(const struct se_policy *policy)
{
    return policy->mapped;
}

uint32_t se_policy_rules(const struct se_policy *policy)
{
    return policy->snapshot->rule_count;
}

uint32_t se_policy_limits(const struct se_policy *policy)
{
    return (uint32_t)policy->snapshot->limits.count;
}

void se_policy_keep_rule(struct se_policy *policy, uint32_t limit, uint32_t kept_rule)
{
    struct se_limit *limits = (struct se_limit *)(uintptr_t)policy->limits;

    if (limit < policy->snapshot->limits.count)
        limits[limit].kept_rule = kept_rule;
}

uint32_t se_list_hits(_Atomic uint64_t *hits, uint32_t count, uint32_t *rules, uint64_t *counts, uint32_t room)
{
    uint32_t found = 0;

    for (uint32_t i = 0; i < count; i++) {
        uint64_t hit = atomic_load_explicit(&hits[i], memory_order_relaxed);
        if (!hit)
            continue;
        if (found < room) {
            rules[found] = i;
            counts[found] = hit;
        }
        found++;
    }
    return found;
}

uint32_t se_policy_hits(const struct se_policy *policy, uint32_t *rules, uint64_t *counts, uint32_t room)
{
    return se_list_hits(policy->hits, policy->snapshot->rule_count, rules, counts, room);
}
