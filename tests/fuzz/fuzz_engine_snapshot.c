/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A snapshot with arbitrary changes: one that passes the checks is asked about many addresses. Magic, layout, size and checksum
 * are left right, because the fuzzer would never get past them. */
/* fuzz-sources: sentry_engine/native/table/snapshot_check.c sentry_engine/native/table/plan_check.c sentry_engine/native/table/policy.c */
/* fuzz-sources: sentry_engine/native/decision/decide.c sentry_engine/native/state/sliding_window.c sentry_engine/native/state/penalty_box.c */
/* fuzz-sources: sentry_engine/native/state/sketch.c sentry_engine/native/state/siphash.c sentry_engine/native/table/snapshot.c */
/* fuzz-sources: sentry_engine/native/prefixes/prefix_rows.c sentry_engine/native/prefixes/cells.c sentry_engine/native/prefixes/flatten.c */
/* fuzz-sources: sentry_engine/native/prefixes/lines.c sentry_engine/native/prefixes/prefix_table.c sentry_engine/native/state/penalty_rows.c sentry_engine/native/memory/block.c */
/* fuzz-sources: sentry_engine/native/state/blocklist.c sentry_engine/native/memory/epoch.c */
#include "decision/decide.h"
#include "memory/block.h"
#include "table/snapshot.h"
#include "table/snapshot_check.h"

#include <stdlib.h>

static struct se_state_tables state;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const struct se_network blocked = {.address = {UINT64_C(0x2001) << 48, 0}, .length = 32};

    (void)argc, (void)argv;
    if (se_blocklist_open(&state.blocklist, &state.secret))
        return 1;
    se_blocklist_put(state.blocklist, se_blocklist_reserve(state.blocklist), &blocked, SE_FOREVER);
    return se_windows_open(&state.windows) || se_penalties_open(&state.penalties, &state.secret) || se_sketch_open(&state.sketch);
}

/* A small valid policy that the mutations start from. */
static struct se_snapshot *build_seed(size_t *size)
{
    static const uint8_t networks[] = {0x20, 1, [16] = 0x20, 1, [23] = 7, [31] = 1, [42] = 0xff, 0xff, 10, 0, 0, 0};
    static const uint8_t lengths[] = {16, 128, 104}, anywhere[16] = {0}, all[] = {0};
    static const uint32_t values[] = {0, 1, 0}, rules[] = {0, 1}, none[] = {0};
    static const uint8_t actions[] = {1, 0}, reasons[] = {2, 5};
    static const uint64_t expires[] = {UINT64_MAX, 50};
    static const struct se_limit limit = {.window = 1000, .max_events = 3, .penalty_growth = 1, .penalty_max_seconds = 1};
    uint32_t sets[SE_EVENT_CUSTOM] = {0};
    struct se_plan_columns plan = {
        .tables[1] = {networks, lengths, values, 3},
        .tables[SE_LIMITS_TIER] = {anywhere, all, none, 1},
        .entries = {actions, reasons, rules, expires, 2},
        .limits = &limit, .limit_count = 1, .sets = sets, .set_count = 1, .event_count = SE_EVENT_CUSTOM,
        .rule_count = 2, .on_missing = SE_NO_ACTION, .ipv4_prefix = 32, .ipv6_prefix = 64,
    };
    struct se_snapshot *snapshot = NULL;
    struct se_fault fault;

    memset(sets + 1, 0xff, sizeof sets - sizeof sets[0]);
    if (se_snapshot_build(&plan, &snapshot, size, &fault))
        abort();
    return snapshot;
}

static void ask_around(const struct se_policy *policy)
{
    const struct se_in_force in_force = {.policy = policy};

    for (uint32_t i = 0; i < 64; i++) {
        struct se_request request = {.event = (uint16_t)(i % 20), .verified = i % 3 != 0, .now = i * 20};
        struct se_step steps[SE_STEPS];
        struct se_verdict verdict;
        request.address[0] = (uint8_t)(i % 4 * 0x20);
        request.address[1] = (uint8_t)(i % 2);
        request.address[7] = request.address[15] = (uint8_t)i;
        if (i % 4 == 0)
            request.address[10] = request.address[11] = 0xff;
        se_walk_many(&in_force, &state, &request, &verdict, 1);
        if (verdict.rule != SE_NO_RULE && !(verdict.rule & (SE_RULE_KEPT | SE_RULE_BLOCK)) && verdict.rule >= policy->snapshot->rule_count)
            abort();
        se_walk(&in_force, &state, &request, &verdict, steps);
    }
}

/* Input: (offset, value) pairs of four bytes each, written over the seed. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct se_fault fault;
    size_t mapped;
    struct se_snapshot *snapshot = build_seed(&mapped);
    uint32_t *words = (uint32_t *)snapshot, pair[2];
    struct se_policy *policy;

    for (; size >= sizeof pair; size -= sizeof pair, data += sizeof pair) {
        memcpy(pair, data, sizeof pair);
        words[8 + pair[0] % (mapped / 4 - 8)] = pair[1];
    }
    if (se_snapshot_check(snapshot, mapped, &fault)) {
        se_block_unmap(snapshot, mapped);
        return 0;
    }
    policy = se_policy_open(snapshot, mapped);
    if (!policy)
        return 0;
    ask_around(policy);
    se_policy_free(policy);
    return 0;
}
