/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Readers, a writer that swaps policies and changes blocks, and an operator who lists, sets and clears penalties, all at once on one core.
 * test_races.py builds it with ThreadSanitizer and checks the exit code. The two policies disagree on every source, so an
 * answer that mixes them, or is read from freed memory, shows too.
 */
#include "python_calls.h"
#include "state/sliding_window.h"
#include "state_export.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READERS 4
#define SWAPS 400u
#define BLOCKS_PER_SWAP 20u
#define SOURCES 64u

static struct se_core *core;
static _Atomic int done;
static _Atomic uint64_t passed, asked;

static void fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static void set_source(uint8_t address[16], uint32_t number)
{
    memset(address, 0, 16);
    if (number % 2) {
        address[0] = 0x20;
        address[1] = 0x01;
        address[7] = (uint8_t)number;
    } else {
        address[10] = address[11] = 0xff;
        address[12] = 10;
        address[15] = (uint8_t)number;
    }
}

/* Policy 0 rejects 10.0.0.0/8 by rule 0, policy 1 accepts it by rule 1; both limit IPv6 sources. */
static struct se_policy *make_policy(unsigned which)
{
    static const uint8_t networks[32] = {[10] = 0xff, [11] = 0xff, [12] = 10};
    static const uint8_t lengths[1] = {104}, anything[1] = {0};
    static const uint32_t zero[1] = {0};
    const uint8_t actions[1] = {which ? SE_ACCEPT : SE_REJECT}, reasons[1] = {SE_REASON_RULE};
    const uint32_t rules[1] = {which};
    const uint64_t expires[1] = {SE_FOREVER};
    uint32_t sets[SE_EVENT_CUSTOM];
    struct se_limit limit = {
        .window = 1000, .penalty = 2000, .penalty_seconds = 2e-6, .penalty_growth = 2, .penalty_max_seconds = 1e-4,
        .blacklist_threshold = 9, .blacklist_ttl = 100000, .strike_memory = 100000, .max_events = which ? 5 : 20, .rule = 2,
    };
    struct se_plan_columns plan = {
        .tables[1] = {networks, lengths, zero, 1},
        .tables[SE_LIMITS_TIER] = {networks + 16, anything, zero, 1},
        .entries = {actions, reasons, rules, expires, 1},
        .limits = &limit, .limit_count = 1, .sets = sets, .set_count = 1, .event_count = SE_EVENT_CUSTOM,
        .rule_count = 3, .escalate_after = 2, .on_missing = SE_NO_ACTION, .ipv4_prefix = 32, .ipv6_prefix = 64,
    };
    struct se_policy *policy;
    struct se_fault fault;

    memset(sets, 0xff, sizeof sets);
    sets[SE_EVENT_CONNECT] = 0;
    if (se_policy_build(&plan, &policy, &fault))
        fail(fault.what ? fault.what : "no memory for a policy");
    return policy;
}

static void *read_verdicts(void *argument)
{
    const struct se_gate *gate = se_core_gate(core);
    uint32_t number = (uint32_t)(uintptr_t)argument;
    struct se_request request = {.event = SE_EVENT_CONNECT, .verified = 1};
    struct se_verdict verdict;

    for (uint64_t now = 1; !atomic_load(&done); now++) {
        set_source(request.address, number++ % SOURCES);
        request.now = now * 10;
        request.verified = now % 5 != 0;
        gate->decide(gate->engine, &request, &verdict);
        if (verdict.rule == 0 && verdict.action != SE_REJECT)
            fail("rule 0 rejects");
        if (verdict.rule == 1 && verdict.action != SE_ACCEPT)
            fail("rule 1 accepts");
        atomic_fetch_add_explicit(&asked, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&passed, verdict.action == SE_ACCEPT, memory_order_relaxed);
    }
    return NULL;
}

static void *operate(void *argument)
{
    struct se_penalty_row rows[16];
    struct se_decision_row decisions[64];
    struct se_counters counters;
    struct se_strikes_row strikes = {.until = 1, .count = 1, .length = 128};
    struct se_burst_row bursts[SE_MAX_SET_BURSTS], burst = {.event = SE_EVENT_CONNECT, .count = 1, .length = 128};
    struct se_changed_row changed[64] = {0};
    struct se_penalty_row penalty;
    struct se_strikes_row known;
    uint32_t set;
    uint8_t network[16];

    (void)argument;
    for (uint32_t turn = 0; !atomic_load(&done); turn++) {
        set_source(network, turn % SOURCES);
        set_source(burst.network, turn % SOURCES);
        set_source(strikes.network, turn % SOURCES);
        se_core_penalize(core, network, turn % 2 ? 56 : 120, 1e-5 * turn, 17, 1);
        se_core_penalties(core, 1e-6 * turn, rows, 16);
        se_core_restore_strikes(core, &strikes, 1e-6 * turn);
        se_core_strikes(core, 1e-6 * turn, &strikes, 1);
        se_core_restore_burst(core, &burst, 1e-6 * turn);
        set = turn % SE_WINDOW_SETS;
        se_core_bursts(core, 1e-6 * turn, &set, bursts, SE_MAX_SET_BURSTS);
        set = 0;
        se_core_take_changed(core, &set, changed, 64);
        se_core_read_source(core, changed, 1e-6 * turn, &penalty, &known, bursts, SE_MAX_SET_BURSTS);
        set = 0;
        se_core_take_ended(core, 1e-6 * turn, &set, SE_CORE_SETS, changed, 64);
        se_core_clear_penalties(core, network, turn % 2 ? 32 : 104, 1e-6);
        se_core_take_lost(core, changed, 64);
        se_core_take_overflow(core);
        se_core_read_counters(core, &counters);
        se_core_set_log_sampling(core, 1 + turn % 3);
        se_core_drain_log(core, decisions, 64);
    }
    return NULL;
}

/* Blocks and unblocks two sources in turn, so that rows leave chains, linger and are used again under the readers. */
static void change_blocks(unsigned turn)
{
    static uint32_t numbers[2];
    uint8_t networks[32];
    const uint8_t lengths[2] = {turn % 3 ? 128 : 126, 64};
    const uint64_t ends[2] = {SE_FOREVER, turn % 5 ? SE_FOREVER : 1};

    if (turn)
        se_core_remove_blocks(core, numbers, 2);
    set_source(networks, 2 * (turn % 8));
    set_source(networks + 16, 1 + 2 * (turn % 8));
    if (se_core_reserve_blocks(core, numbers, 2) != 2)
        fail("no rows for blocks");
    se_core_put_blocks(core, numbers, networks, lengths, ends, 2);
}

/* The last policy is left for the end of the process. */
static void swap_policies(const struct se_policy *policy)
{
    for (unsigned swap = 1; swap <= SWAPS; swap++) {
        const struct se_policy *old = policy;
        struct se_in_force *before;
        for (unsigned turn = 0; turn < BLOCKS_PER_SWAP; turn++)
            change_blocks(turn + (swap - 1) * BLOCKS_PER_SWAP);
        policy = make_policy(swap % 2);
        if (se_core_install(core, policy, &before))
            fail("no memory to swap");
        while (!se_in_force_is_unread(before))
            sched_yield();
        se_in_force_free(before);
        se_policy_free((struct se_policy *)(uintptr_t)old);
    }
}

int main(void)
{
    const struct se_policy *first = make_policy(0);
    pthread_t thread[READERS + 1];
    struct se_in_force *none;

    if (se_core_open(&core) || se_core_install(core, first, &none))
        fail("no core");
    for (uintptr_t i = 0; i < READERS; i++)
        pthread_create(&thread[i], NULL, read_verdicts, (void *)(i * 16));
    pthread_create(&thread[READERS], NULL, operate, NULL);
    swap_policies(first);
    atomic_store(&done, 1);
    for (unsigned i = 0; i <= READERS; i++)
        pthread_join(thread[i], NULL);
    printf("%u swaps under %lu questions, %lu passed\n", SWAPS, (unsigned long)asked, (unsigned long)passed);
    se_core_close(core);
    return asked && passed && passed < asked ? 0 : 1;
}
