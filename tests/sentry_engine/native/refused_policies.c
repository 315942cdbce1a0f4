/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A plan that is wrong in one field is refused with its reason. A policy that comes from a file with one word changed, each in turn
 * to each of several values, is refused, or answers for every address without an access outside of it (ASan) and names no rule that
 * it does not have. Its checksum is left out: a file that was made on purpose has a right one.
 */
#define _GNU_SOURCE
#include "decision/decide.h"
#include "memory/block.h"
#include "table/plan_check.h"
#include "table/snapshot.h"
#include "table/snapshot_check.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIMITS 2u
#define FIXED_WORDS 8u              /* magic, layout, size and checksum, which are checked before */

static struct se_limit limits[LIMITS];
static uint32_t sets[2 * SE_EVENT_CUSTOM];
static struct se_payback paybacks[1];
static struct se_plan_columns plan;
static unsigned plans, changed, refused;

static void fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}

/* Rules for networks of every depth of the table, some with an end, and two sets of limits. */
static void set_right(void)
{
    static const uint8_t networks[] = {
        [0] = 0x20, 1,
        [16] = 0x20, 1, [23] = 7, [31] = 1,
        [32] = 0x20, 1, [39] = 7, [46] = 1,
        [58] = 0xff, 0xff, 10, 0, 0, 0,
        [74] = 0xff, 0xff, 10, 1, 2, 3,
        [90] = 0xff, 0xff, 192, 0, 2, 128,
    };
    static const uint8_t lengths[] = {16, 128, 120, 104, 128, 121}, anywhere[32] = {[26] = 0xff, [27] = 0xff}, all[] = {0, 96};
    static const uint32_t values[] = {0, 1, 0, 1, 0, 1}, rules[] = {0, 1}, chosen[] = {0, 1};
    static const uint8_t actions[] = {SE_REJECT, SE_ACCEPT}, reasons[] = {SE_REASON_RULE, SE_REASON_RULE};
    static const uint64_t expires[] = {SE_FOREVER, 500};

    for (unsigned i = 0; i < LIMITS; i++)
        limits[i] = (struct se_limit){ .window = 1000, .penalty = 2000, .penalty_seconds = 1, .penalty_growth = 1, .max_events = 3,
                                       .penalty_max_seconds = 1, .rule = i, .kept_rule = UINT32_MAX, .event = i };
    memset(sets, 0xff, sizeof(sets));
    sets[0] = 0;
    sets[SE_EVENT_CUSTOM + 1] = 1;
    paybacks[0] = (struct se_payback){ .event = 1, .from_event = 0, .points = 1 };
    plan = (struct se_plan_columns){
        .tables[1] = {networks, lengths, values, sizeof(lengths)},
        .tables[SE_LIMITS_TIER] = {anywhere, all, chosen, sizeof(all)},
        .entries = {actions, reasons, rules, expires, 2},
        .limits = limits, .limit_count = LIMITS, .sets = sets, .set_count = 2, .event_count = SE_EVENT_CUSTOM,
        .paybacks = paybacks, .payback_count = 1, .rule_count = 2, .on_missing = SE_NO_ACTION, .ipv4_prefix = 32, .ipv6_prefix = 64,
    };
}

#define DENSE 24u

/* Rules that lie so close together that their ranges are in lines. One in three has an end. */
static void set_dense(void)
{
    static uint8_t networks[16 * DENSE], lengths[DENSE];
    static uint32_t values[DENSE];

    set_right();
    for (unsigned i = 0; i < DENSE; i++) {
        memcpy(networks + 16 * i, (uint8_t[16]){[10] = 0xff, 0xff, 10, 0, 2, (uint8_t)(8 * i)}, 16);
        lengths[i] = (uint8_t)(i % 4 ? 126 : 127);
        values[i] = i % 3 == 2;
    }
    plan.tables[1] = (struct se_table_columns){networks, lengths, values, DENSE};
}

static void expect_refusal(const char *what)
{
    struct se_snapshot *built = NULL;
    struct se_fault fault = { 0 };
    size_t size;

    plans++;
    if (se_snapshot_build(&plan, &built, &size, &fault) != -EINVAL || built || !strstr(fault.what, what) || fault.tier != SE_TIERS)
        fail(what);
    set_right();
}

#define WRONG(change, what) do { change; expect_refusal(what); } while (0)

static void test_plans(void)
{
    WRONG(plan.ipv4_prefix = 0, "ipv4_prefix");
    WRONG(plan.ipv4_prefix = 33, "ipv4_prefix");
    WRONG(plan.ipv6_prefix = 0, "ipv6_prefix");
    WRONG(plan.ipv6_prefix = 65, "ipv6_prefix");
    WRONG(plan.default_action = SE_RATE_LIMITED + 1, "default action");
    WRONG(plan.on_missing = SE_RATE_LIMITED + 1, "on_missing");
    WRONG(plan.rule_count = SE_MAX_RULES + 1, "rules");
    WRONG(plan.event_count = SE_EVENT_CUSTOM - 1, "events");
    WRONG(plan.event_count = SE_MAX_EVENTS + 1, "events");
    WRONG(plan.set_count = SE_MAX_SET_CELLS / SE_EVENT_CUSTOM + 1, "too many sets");
    WRONG(sets[1] = LIMITS, "a set of limits");
    WRONG(sets[1] = 0, "a set of limits");      /* of another event */
    WRONG(plan.payback_count = SE_MAX_PAYBACKS + 1, "paybacks");
    WRONG(paybacks[0].event = SE_EVENT_CUSTOM, "a payback");
    WRONG(paybacks[0].from_event = SE_EVENT_CUSTOM, "a payback");
    WRONG(plan.limit_count = SE_MAX_LIMITS + 1, "limits");
    WRONG(limits[1].max_events = UINT16_MAX + 1, "max_events");
    WRONG(limits[1].window = 0, "window");
    WRONG(limits[1].window = SE_MAX_WINDOW + 1, "window");
    WRONG(limits[1].penalty_growth = NAN, "growth");
    WRONG(limits[1].penalty_seconds = -1, "penalty");
    WRONG(limits[1].kept_rule = SE_MAX_KEPT_RULES, "no name");
    WRONG(limits[1].rule = 2, "an event or a rule");
}

/* Networks of both families, all around the rules, at times before and after their end. */
static void ask_around(const struct se_policy *policy, struct se_state_tables *state)
{
    static const uint8_t heads[] = {0x20, 0x20, 0x20, 0xff};
    const struct se_in_force in_force = {.policy = policy};
    struct se_step steps[SE_STEPS];
    struct se_verdict verdict;

    for (uint32_t i = 0; i < 64; i++) {
        struct se_request request = {.event = (uint16_t)(i % 8), .verified = i % 3 != 0, .now = i * 20};

        request.address[0] = heads[i % 4];
        request.address[1] = 1;
        request.address[7] = (uint8_t)(i % 8);
        request.address[15] = (uint8_t)(i % 5);
        if (i % 2)
            memcpy(request.address, (uint8_t[16]){[10] = 0xff, 0xff, (uint8_t)(i % 4 == 1 ? 10 : 192), (uint8_t)(i % 5 / 4), 2, (uint8_t)(i * 4)}, 16);
        se_walk_many(&in_force, state, &request, &verdict, 1);
        if (verdict.rule != SE_NO_RULE && !(verdict.rule & (SE_RULE_KEPT | SE_RULE_BLOCK)) && verdict.rule >= policy->snapshot->rule_count)
            fail("a verdict by a rule that there is not");
        se_walk(&in_force, state, &request, &verdict, steps);
    }
}

/* True if the policy with this word is refused. */
static int is_refused(size_t at, uint32_t value, struct se_state_tables *state)
{
    struct se_snapshot *snapshot = NULL;
    struct se_policy *policy;
    struct se_fault fault;
    size_t size;

    if (se_snapshot_build(&plan, &snapshot, &size, &fault))
        fail("the right plan is built");
    ((uint32_t *)snapshot)[at] = value;
    if (se_snapshot_check(snapshot, size, &fault)) {
        se_block_unmap(snapshot, size);
        return 1;
    }
    policy = se_policy_open(snapshot, size);
    if (!policy)
        fail("a policy that was checked is opened");
    ask_around(policy, state);
    se_policy_free(policy);
    return 0;
}

static void test_changed_policies(void)
{
    struct se_state_tables state = {0};
    struct se_snapshot *right = NULL;
    struct se_fault fault;
    size_t size;

    if (se_blocklist_open(&state.blocklist, &state.secret) || se_windows_open(&state.windows) ||
        se_penalties_open(&state.penalties, &state.secret) || se_sketch_open(&state.sketch) ||
        se_snapshot_build(&plan, &right, &size, &fault))
        fail("the right plan is built");
    if (se_snapshot_check(right, size, &fault))
        fail(fault.what);
    for (size_t at = FIXED_WORDS; at < size / 4; at++) {
        const uint32_t before = ((const uint32_t *)right)[at], values[] = {0, before + 1, before ^ 0x80, UINT32_MAX, before << 1};

        if (!before && at % 61)     /* most words are empty cells of tables: every 61st of these */
            continue;
        for (unsigned i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
            if (values[i] == before)
                continue;
            changed++;
            refused += (unsigned)is_refused(at, values[i], &state);
        }
    }
    se_block_unmap(right, size);
    se_blocklist_close(state.blocklist);
    se_windows_close(state.windows);
    se_penalties_close(state.penalties);
    se_sketch_close(state.sketch);
}

int main(void)
{
    set_right();
    test_plans();
    test_changed_policies();
    set_dense();
    test_changed_policies();
    printf("%u plans refused; of %u changed policies %u refused\n", plans, changed, refused);
    return 0;
}
