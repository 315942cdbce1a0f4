/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * One life of a core, again and again: in run N the Nth allocation fails. A call that fails says so, leaves what was in force,
 * and leaks nothing. test_memory_faults.py builds it with the address sanitizer, and wraps the allocations by the linker.
 */
#define _GNU_SOURCE /* memfd_create */
#include "python_calls.h"
#include "state_export.h"
#include "table/snapshot_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static unsigned until_failure; /* allocations that still succeed; 0: none fails any more */
static int failed;

static int fails(void)
{
    if (!until_failure || --until_failure)
        return 0;
    failed = 1;
    errno = ENOMEM;
    return 1;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__real_mmap(void *address, size_t size, int protection, int flags, int file, off_t offset);

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return fails() ? NULL : __real_realloc(memory, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return fails() ? NULL : __real_aligned_alloc(alignment, size);
}

void *__wrap_mmap(void *address, size_t size, int protection, int flags, int file, off_t offset)
{
    return fails() ? MAP_FAILED : __real_mmap(address, size, protection, flags, file, offset);
}

static void check(int holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "%s\n", what);
    exit(1);
}

/* Refuses 10.0.0.0/8 and 2001:db8::/32, 10.1.0.0/16 until an end, and limits everything else. */
static int build_policy(struct se_policy **out)
{
    static const uint8_t networks[64] = {
        [10] = 0xff, [11] = 0xff, [12] = 10, [16] = 0x20, [17] = 0x01, [18] = 0x0d, [19] = 0xb8, [42] = 0xff, [43] = 0xff, [44] = 10, [45] = 1,
    };
    static const uint8_t lengths[4] = {104, 32, 112, 0}, actions[2] = {SE_REJECT, SE_REJECT}, reasons[2] = {SE_REASON_RULE, SE_REASON_RULE};
    static const uint32_t values[3] = {0, 0, 1}, rules[2] = {0, 1}, zero[1] = {0};
    static const uint64_t expires[2] = {SE_FOREVER, 1000000};
    uint32_t sets[SE_EVENT_CUSTOM];
    struct se_limit limit = {
        .window = 1000, .penalty = 2000, .penalty_seconds = 2e-6, .penalty_growth = 1, .penalty_max_seconds = 1e-3,
        .blacklist_ttl = 1000, .strike_memory = 1000, .max_events = 3, .rule = 2,
    };
    struct se_plan_columns plan = {
        .tables[1] = {networks, lengths, values, 3},
        .tables[SE_LIMITS_TIER] = {networks + 48, lengths + 3, zero, 1},
        .entries = {actions, reasons, rules, expires, 2},
        .limits = &limit, .limit_count = 1, .sets = sets, .set_count = 1, .event_count = SE_EVENT_CUSTOM,
        .rule_count = 3, .escalate_after = 2, .on_missing = SE_NO_ACTION, .ipv4_prefix = 32, .ipv6_prefix = 64,
    };
    struct se_fault fault;
    int rc;

    memset(sets, 0xff, sizeof sets);
    sets[SE_EVENT_CONNECT] = 0;
    rc = se_policy_build(&plan, out, &fault);
    check(!rc || rc == -ENOMEM, "a policy is built, or there is no memory");
    return rc;
}

static unsigned action_of(struct se_core *core, uint8_t last)
{
    const struct se_gate *gate = se_core_gate(core);
    struct se_request request = {.address = {[10] = 0xff, [11] = 0xff, [12] = 10, [15] = last}, .event = SE_EVENT_CONNECT, .verified = 1, .now = 500};
    struct se_verdict verdict;

    if (last == 0)
        request.address[12] = 192;
    gate->decide(gate->engine, &request, &verdict);
    return verdict.action;
}

/* Puts a policy in force and frees the one before. Returns true if it is in force. */
static int swap(struct se_core *core, struct se_policy **in_force)
{
    struct se_policy *next;
    struct se_in_force *before;

    if (build_policy(&next))
        return 0;
    if (se_core_install(core, next, &before)) {
        se_policy_free(next);
        return 0;
    }
    if (before) {
        check(se_in_force_is_unread(before), "nothing reads the policy before");
        se_in_force_free(before);
        se_policy_free(*in_force);
    }
    *in_force = next;
    return 1;
}

static void write_and_read(const struct se_policy *policy)
{
    int file = memfd_create("policy", 0);
    struct se_policy *again;
    struct se_fault fault;

    check(file >= 0, "a file in memory");
    check(se_policy_write(policy, file) == 0, "writing needs no memory");
    if (se_policy_read(file, 0, se_policy_bytes(policy), &again, &fault) == 0) {
        check(se_policy_rules(again) == se_policy_rules(policy), "what is read is what was written");
        se_policy_free(again);
    }
    close(file);
}

static void operate(struct se_core *core)
{
    uint8_t networks[32] = {[10] = 0xff, [11] = 0xff, [12] = 192, [26] = 0xff, [27] = 0xff, [28] = 192, [31] = 1};
    const uint8_t lengths[2] = {128, 128};
    const uint64_t ends[2] = {SE_FOREVER, 600};
    struct se_penalty_row penalties[4];
    struct se_strikes_row strikes[4];
    struct se_burst_row bursts[SE_MIN_BURST_ROOM];
    uint32_t numbers[2], set = 0;

    check(se_core_reserve_blocks(core, numbers, 2) == 2, "numbering blocks needs no memory");
    se_core_put_blocks(core, numbers, networks, lengths, ends, 2);
    check(action_of(core, 0) == SE_REJECT, "a block is in force");
    se_core_remove_blocks(core, numbers, 2);
    se_core_penalize(core, networks, 128, 1.0, SE_REASON_PENALTY, SE_NO_RULE);
    check(action_of(core, 0) != SE_ACCEPT, "a penalty is in force");
    se_core_penalties(core, 0, penalties, 4);
    se_core_strikes(core, 0, strikes, 4);
    se_core_bursts(core, 0, &set, bursts, SE_MIN_BURST_ROOM);
    se_core_clear_penalties(core, networks, 128, 0);
    check(action_of(core, 0) == SE_ACCEPT, "a penalty is cleared");
}

static void live(void)
{
    struct se_policy *policy = NULL;
    struct se_core *core;

    if (se_core_open(&core)) {
        check(failed, "a core opens while there is memory");
        return;
    }
    check(action_of(core, 7) == SE_REJECT && action_of(core, 0) == SE_REJECT, "without a policy everything is refused");
    if (swap(core, &policy)) {
        check(action_of(core, 7) == SE_REJECT, "the rule refuses");
        operate(core);
        write_and_read(policy);
        swap(core, &policy);
        check(action_of(core, 7) == SE_REJECT, "the rule refuses after a swap, whether it failed or not");
    } else {
        check(action_of(core, 0) == SE_REJECT, "a policy that failed lets nothing in");
    }
    se_core_close(core);
    if (policy)
        se_policy_free(policy);
}

int main(void)
{
    unsigned run = 0;

    do {
        failed = 0;
        until_failure = ++run;
        live();
    } while (failed);
    until_failure = 0; /* what runs at the exit, as coverage does, gets its memory */
    printf("%u allocations failed in turn\n", run - 1);
    return 0;
}
