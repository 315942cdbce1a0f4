/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core.h"

#include "core_internal.h"
#include "memory/epoch.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

/* Only the holder of an epoch slot writes the tally of that number, so counting needs no locked instruction. */
struct tally {
    _Alignas(64) _Atomic uint64_t decisions;
    _Atomic uint64_t verdicts[SE_VERDICT_KINDS];
};

_Static_assert(SE_VERDICT_KINDS == (SE_RATE_LIMITED + 1) * SE_REASONS, "one counter for each action and reason");

struct se_core {
    struct se_gate gate;
    struct se_state_tables state;           /* owned, and so are log and kept_hits */
    struct se_log *log;
    _Atomic(struct se_in_force *) in_force; /* owned until se_core_install replaces it */
    _Atomic uint32_t generation;
    _Atomic uint64_t *kept_hits;            /* SE_MAX_KEPT_RULES of them */
    struct tally tallies[SE_EPOCH_SLOTS];
};

uint32_t se_core_abi(void)
{
    return SE_CORE_ABI;
}

static void add(_Atomic uint64_t *counter, uint64_t more)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + more, memory_order_relaxed);
}

static void count_hit(struct se_core *core, const struct se_in_force *in_force, uint32_t rule)
{
    if (rule & SE_RULE_KEPT)
        atomic_fetch_add_explicit(&core->kept_hits[rule & ~SE_RULE_KEPT], 1, memory_order_relaxed);
    else if (rule & SE_RULE_BLOCK)
        se_blocklist_count(core->state.blocklist, rule & ~SE_RULE_BLOCK);
    else
        atomic_fetch_add_explicit(&in_force->policy->hits[rule], 1, memory_order_relaxed);
}

#define HITS_AHEAD 12u /* counters fetched before they are needed */

static void fetch_hits(const struct se_in_force *in_force, uint32_t rule)
{
    if (!(rule & (SE_RULE_KEPT | SE_RULE_BLOCK))) /* SE_NO_RULE has these bits too */
        __builtin_prefetch((const void *)&in_force->policy->hits[rule], 1);
}

/*
 * Separate from the walks: a locked instruction between them would stop speculative execution. It also waits for its own memory,
 * and with a million rules the counters are in no cache.
 */
static void count_verdicts(struct se_core *core, const struct se_in_force *in_force, struct tally *tally,
                           const struct se_verdict *verdicts, uint32_t count)
{
    for (uint32_t i = 0; i < count && i < HITS_AHEAD; i++)
        fetch_hits(in_force, verdicts[i].rule);
    for (uint32_t i = 0; i < count; i++) {
        if (i + HITS_AHEAD < count)
            fetch_hits(in_force, verdicts[i + HITS_AHEAD].rule);
        add(&tally->verdicts[verdicts[i].action * SE_REASONS + verdicts[i].reason], 1);
        if (verdicts[i].rule != SE_NO_RULE)
            count_hit(core, in_force, verdicts[i].rule);
    }
    add(&tally->decisions, count);
}

void se_refuse_all(struct se_verdict *verdicts, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        verdicts[i] = (struct se_verdict){.action = SE_REJECT, .reason = SE_REASON_INVALID_REQUEST, .rule = SE_NO_RULE};
}

static uint64_t read_clock(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Records the decision in the log, with the time that it took. */
static void walk_and_log(struct se_core *core, const struct se_in_force *in_force, const struct se_request *request,
                           struct se_verdict *verdict)
{
    uint64_t begin = read_clock(), took;
    struct se_decision decision = {.request = *request, .generation = in_force->generation};

    se_walk(in_force, &core->state, request, verdict, NULL);
    took = read_clock() - begin;
    decision.verdict = *verdict;
    decision.latency = took < UINT32_MAX ? (uint32_t)took : UINT32_MAX;
    se_log_add(core->log, &decision);
}

/* Answers up to SE_LOOKAHEAD requests. `number` is that of the first one among the slot's decisions. */
static void walk_some(struct se_core *core, const struct se_in_force *in_force, const struct se_request *requests,
                      struct se_verdict *verdicts, uint32_t count, uint64_t number)
{
    if (!se_log_is_sampling(core->log)) {
        se_walk_many(in_force, &core->state, requests, verdicts, count);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (se_log_samples(core->log, number + i))
            walk_and_log(core, in_force, &requests[i], &verdicts[i]);
        else
            se_walk(in_force, &core->state, &requests[i], &verdicts[i], NULL);
    }
}

uint32_t se_core_decide(struct se_core *core, const struct se_request *requests, struct se_verdict *verdicts, uint32_t count)
{
    struct se_epoch_slot *slot = se_epoch_enter();
    struct tally *tally = &core->tallies[se_epoch_slot_number(slot)];
    const struct se_in_force *in_force = atomic_load_explicit(&core->in_force, memory_order_seq_cst);
    uint32_t generation = 0;

    if (in_force) {
        generation = in_force->generation;
        uint64_t number = atomic_load_explicit(&tally->decisions, memory_order_relaxed);
        se_walk_ahead(in_force, requests, count < SE_LOOKAHEAD ? count : SE_LOOKAHEAD);
        for (uint32_t done = 0, next; done < count; done += next) {
            next = count - done < SE_LOOKAHEAD ? count - done : SE_LOOKAHEAD;
            uint32_t ahead = count - done - next < SE_LOOKAHEAD ? count - done - next : SE_LOOKAHEAD;
            se_walk_ahead(in_force, requests + done + next, ahead);
            walk_some(core, in_force, requests + done, verdicts + done, next, number + done);
        }
        count_verdicts(core, in_force, tally, verdicts, count);
    } else {
        se_refuse_all(verdicts, count);
    }
    se_epoch_leave(slot);
    return generation;
}

/* Requires an epoch. */
static bool count_late(struct se_core *core, const struct se_in_force *in_force, struct se_late_hit *late)
{
    if (!late->generation)
        return true;
    if (!in_force || late->generation != in_force->generation)
        return false;
    count_hit(core, in_force, late->rule);
    late->generation = 0;
    return true;
}

bool se_core_count_late(struct se_core *core, struct se_late_hit *late)
{
    struct se_epoch_slot *slot = se_epoch_enter();
    bool counted = count_late(core, atomic_load_explicit(&core->in_force, memory_order_seq_cst), late);

    se_epoch_leave(slot);
    return counted;
}

/* Leaves a rule of the policy to be counted late; counts other verdicts at once. */
static void count_one(struct se_core *core, const struct se_in_force *in_force, struct tally *tally, const struct se_verdict *verdict,
                      struct se_late_hit *late)
{
    if (verdict->rule & (SE_RULE_KEPT | SE_RULE_BLOCK)) {
        count_verdicts(core, in_force, tally, verdict, 1);
        return;
    }
    fetch_hits(in_force, verdict->rule);
    *late = (struct se_late_hit){in_force->generation, verdict->rule};
    add(&tally->verdicts[verdict->action * SE_REASONS + verdict->reason], 1);
    add(&tally->decisions, 1);
}

bool se_core_decide_one(struct se_core *core, const struct se_request *request, struct se_verdict *verdict, struct se_late_hit *late,
                        uint32_t *generation)
{
    struct se_epoch_slot *slot = se_epoch_enter();
    struct tally *tally = &core->tallies[se_epoch_slot_number(slot)];
    const struct se_in_force *in_force = atomic_load_explicit(&core->in_force, memory_order_seq_cst);
    bool counted = count_late(core, in_force, late);

    *generation = 0;
    if (counted && in_force) {
        *generation = in_force->generation;
        walk_some(core, in_force, request, verdict, 1, atomic_load_explicit(&tally->decisions, memory_order_relaxed));
        count_one(core, in_force, tally, verdict, late);
    } else {
        se_refuse_all(verdict, 1);
    }
    se_epoch_leave(slot);
    return counted;
}

static void gate_decide(void *engine, const struct se_request *request, struct se_verdict *verdict)
{
    se_core_decide(engine, request, verdict, 1);
}

static void gate_decide_many(void *engine, const struct se_request *requests, struct se_verdict *verdicts, uint32_t count)
{
    for (uint32_t done = 0, next; done < count; done += next) {
        next = count - done < SE_BATCH ? count - done : SE_BATCH;
        se_core_decide(engine, requests + done, verdicts + done, next);
    }
}

int se_core_open(struct se_core **out)
{
    struct se_core *core = aligned_alloc(_Alignof(struct se_core), sizeof *core);
    int rc = -ENOMEM;

    if (!core)
        return rc;
    memset(core, 0, sizeof *core);
    core->gate = (struct se_gate){
        .abi = SE_GATE_ABI,
        .request_size = sizeof(struct se_request),
        .verdict_size = sizeof(struct se_verdict),
        .engine = core,
        .decide = gate_decide,
        .decide_many = gate_decide_many,
    };
    core->kept_hits = calloc(SE_MAX_KEPT_RULES, sizeof *core->kept_hits);
    if (!core->kept_hits)
        goto fail;
    rc = se_secret_draw(&core->state.secret);
    if (!rc)
        rc = se_blocklist_open(&core->state.blocklist, &core->state.secret);
    if (!rc)
        rc = se_windows_open(&core->state.windows);
    if (!rc)
        rc = se_penalties_open(&core->state.penalties, &core->state.secret);
    if (!rc)
        rc = se_sketch_open(&core->state.sketch);
    if (!rc)
        rc = se_log_open(&core->log);
    if (rc)
        goto fail;
    *out = core;
    return 0;
fail:
    se_core_close(core);
    return rc;
}

void se_core_close(struct se_core *core)
{
    if (!core)
        return;
    se_in_force_free(atomic_load(&core->in_force));
    se_blocklist_close(core->state.blocklist);
    se_windows_close(core->state.windows);
    se_penalties_close(core->state.penalties);
    se_sketch_close(core->state.sketch);
    se_log_close(core->log);
    free((void *)core->kept_hits);
    free(core);
}

int se_core_install(struct se_core *core, const struct se_policy *policy, struct se_in_force **previous)
{
    struct se_in_force *next = calloc(1, sizeof *next);

    if (!next)
        return -ENOMEM;
    next->policy = policy;
    next->generation = atomic_fetch_add_explicit(&core->generation, 1, memory_order_relaxed) + 1;
    *previous = atomic_exchange_explicit(&core->in_force, next, memory_order_seq_cst);
    if (*previous)
        (*previous)->retired_at = se_epoch_retire();
    return 0;
}

int se_in_force_is_unread(const struct se_in_force *in_force)
{
    return se_epoch_passed(in_force->retired_at);
}

void se_in_force_free(struct se_in_force *in_force)
{
    free(in_force);
}

uint32_t se_core_kept_hits(struct se_core *core, uint32_t *rules, uint64_t *counts, uint32_t room)
{
    return se_list_hits(core->kept_hits, SE_MAX_KEPT_RULES, rules, counts, room);
}

uint32_t se_core_reserve_blocks(struct se_core *core, uint32_t *numbers, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        numbers[i] = se_blocklist_reserve(core->state.blocklist);
        if (numbers[i] == SE_NO_BLOCK)
            return i;
    }
    return count;
}

void se_core_put_blocks(struct se_core *core, const uint32_t *numbers, const uint8_t *networks, const uint8_t *lengths,
                        const uint64_t *ends, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct se_network network = {se_address_load(networks + 16 * (size_t)i), lengths[i] < 128 ? lengths[i] : 128};
        se_blocklist_put(core->state.blocklist, numbers[i], &network, ends[i]);
    }
}

void se_core_remove_blocks(struct se_core *core, const uint32_t *numbers, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        se_blocklist_remove(core->state.blocklist, numbers[i]);
}

uint32_t se_core_find_block(const struct se_core *core, const uint8_t *address, uint64_t now)
{
    return se_blocklist_find(core->state.blocklist, se_address_load(address), -1, now).number;
}

uint32_t se_core_block_hits(struct se_core *core, uint32_t *numbers, uint64_t *counts, uint32_t room)
{
    return se_blocklist_hits(core->state.blocklist, numbers, counts, room);
}

uint32_t se_core_generation(const struct se_core *core)
{
    return atomic_load_explicit(&core->generation, memory_order_relaxed);
}

uint64_t se_core_state_bytes(void)
{
    return se_windows_bytes() + se_penalties_bytes() + se_sketch_bytes();
}

struct se_state_tables *se_core_state(struct se_core *core)
{
    return &core->state;
}

struct se_log *se_core_log(struct se_core *core)
{
    return core->log;
}

const struct se_in_force *se_core_in_force(struct se_core *core)
{
    return atomic_load_explicit(&core->in_force, memory_order_seq_cst);
}

struct se_gate *se_core_gate(struct se_core *core)
{
    return &core->gate;
}

void se_core_read_counters(struct se_core *core, struct se_counters *out)
{
    *out = (struct se_counters){
        .sources = se_windows_used(core->state.windows),
        .penalties = se_penalties_used(core->state.penalties),
        .evicted = se_windows_evicted(core->state.windows),
        .unlogged = se_log_dropped(core->log),
    };
    for (uint32_t i = 0; i < SE_EPOCH_SLOTS; i++) {
        out->decisions += atomic_load_explicit(&core->tallies[i].decisions, memory_order_relaxed);
        for (uint32_t kind = 0; kind < SE_VERDICT_KINDS; kind++)
            out->verdicts[kind] += atomic_load_explicit(&core->tallies[i].verdicts[kind], memory_order_relaxed);
    }
}
