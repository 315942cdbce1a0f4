/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core.h"

#include "epoch.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <time.h>

#define REASON_INVALID_REQUEST 13u
#define MAX_SECONDS 9.2e9       /* what fits in 63 bits of ns */

/* Written by the holder of one reader's slot at a time, so that counting needs no locked instruction. */
struct tally {
    _Alignas(64) _Atomic uint64_t decisions;
    _Atomic uint64_t refused;
};

struct se_core {
    struct se_gate gate;
    struct se_state_tables state;
    struct se_log *log;
    _Atomic(struct se_in_force *) in_force;
    _Atomic uint32_t generation;
    _Atomic uint64_t *kept_hits;
    struct tally tallies[SE_READER_SLOTS];
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
    uint32_t rules = in_force->base->snapshot->rule_count;

    if (rule & SE_RULE_KEPT)
        atomic_fetch_add_explicit(&core->kept_hits[rule & ~SE_RULE_KEPT], 1, memory_order_relaxed);
    else if (rule < rules)
        atomic_fetch_add_explicit(&in_force->base->hits[rule], 1, memory_order_relaxed);
    else
        atomic_fetch_add_explicit(&in_force->overlay->hits[rule - rules], 1, memory_order_relaxed);
}

/* Apart from the walks: a locked instruction among them would end what the processor does ahead. */
static void count_verdicts(struct se_core *core, const struct se_in_force *in_force, struct tally *tally,
                           const struct se_verdict *verdicts, uint32_t count)
{
    uint64_t refused = 0;

    for (uint32_t i = 0; i < count; i++) {
        refused += verdicts[i].action != SE_ACCEPT;
        if (verdicts[i].rule != SE_NO_RULE)
            count_hit(core, in_force, verdicts[i].rule);
    }
    add(&tally->decisions, count);
    if (refused)
        add(&tally->refused, refused);
}

/* A core before its first policy refuses, and so it does what it cannot understand. */
static void refuse_all(struct se_verdict *verdicts, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        verdicts[i] = (struct se_verdict){.action = SE_REJECT, .reason = REASON_INVALID_REQUEST, .rule = SE_NO_RULE};
}

static uint64_t read_clock(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* A decision that goes to the log, with the time it took. */
static void walk_on_record(struct se_core *core, const struct se_in_force *in_force, const struct se_request *request,
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

/* Up to SE_AHEAD requests, of which the first is the thread's decision number `number`. */
static void walk_some(struct se_core *core, const struct se_in_force *in_force, const struct se_request *requests,
                      struct se_verdict *verdicts, uint32_t count, uint64_t number)
{
    if (!se_log_is_watching(core->log)) {
        se_walk_many(in_force, &core->state, requests, verdicts, count);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (se_log_wants(core->log, number + i))
            walk_on_record(core, in_force, &requests[i], &verdicts[i]);
        else
            se_walk(in_force, &core->state, &requests[i], &verdicts[i], NULL);
    }
}

uint32_t se_core_decide(struct se_core *core, const struct se_request *requests, struct se_verdict *verdicts, uint32_t count)
{
    struct se_reader *reader = se_reader_enter();
    struct tally *tally = &core->tallies[se_reader_number(reader)];
    const struct se_in_force *in_force = atomic_load_explicit(&core->in_force, memory_order_seq_cst);
    uint32_t generation = 0;

    if (in_force) {
        generation = in_force->generation;
        uint64_t number = atomic_load_explicit(&tally->decisions, memory_order_relaxed);
        for (uint32_t done = 0, next; done < count; done += next) {
            next = count - done < SE_AHEAD ? count - done : SE_AHEAD;
            walk_some(core, in_force, requests + done, verdicts + done, next, number + done);
        }
        count_verdicts(core, in_force, tally, verdicts, count);
    } else {
        refuse_all(verdicts, count);
    }
    se_reader_leave(reader);
    return generation;
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
    se_windows_close(core->state.windows);
    se_penalties_close(core->state.penalties);
    se_sketch_close(core->state.sketch);
    se_log_close(core->log);
    free((void *)core->kept_hits);
    free(core);
}

int se_core_build(const struct se_plan_columns *plan, struct se_policy **out, struct se_fault *fault)
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

int se_core_install(struct se_core *core, const struct se_policy *base, const struct se_policy *overlay,
                    struct se_in_force **before)
{
    struct se_in_force *next = calloc(1, sizeof *next);

    if (!next)
        return -ENOMEM;
    next->base = base;
    next->overlay = overlay;
    next->generation = atomic_fetch_add_explicit(&core->generation, 1, memory_order_relaxed) + 1;
    *before = atomic_exchange_explicit(&core->in_force, next, memory_order_seq_cst);
    if (*before)
        (*before)->retired_at = se_readers_retire();
    return 0;
}

int se_in_force_is_unread(const struct se_in_force *in_force)
{
    return se_readers_passed(in_force->retired_at);
}

void se_in_force_free(struct se_in_force *in_force)
{
    free(in_force);
}

static uint32_t list_hits(_Atomic uint64_t *hits, uint32_t count, uint32_t *rules, uint64_t *counts, uint32_t room)
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
    return list_hits(policy->hits, policy->snapshot->rule_count, rules, counts, room);
}

uint32_t se_core_kept_hits(struct se_core *core, uint32_t *rules, uint64_t *counts, uint32_t room)
{
    return list_hits(core->kept_hits, SE_MAX_KEPT_RULES, rules, counts, room);
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

const struct se_in_force *se_core_in_force(struct se_core *core)
{
    return atomic_load_explicit(&core->in_force, memory_order_seq_cst);
}

struct se_gate *se_core_gate(struct se_core *core)
{
    return &core->gate;
}

double se_to_seconds(uint64_t ns)
{
    return ns == SE_FOREVER ? INFINITY : (double)ns / 1e9;
}

uint64_t se_to_ns(double seconds)
{
    if (!(seconds > 0))
        return 0;
    return seconds < MAX_SECONDS ? (uint64_t)llround(seconds * 1e9) : SE_FOREVER;
}

static struct se_request ask(const uint8_t address[16], uint32_t event, int verified, uint64_t now)
{
    struct se_request request = {
        .event = (uint16_t)(event < UINT16_MAX ? event : UINT16_MAX), /* beyond the last event: refused */
        .verified = verified != 0,
        .now = now,
    };

    memcpy(request.address, address, sizeof request.address);
    return request;
}

void se_core_answer_words(struct se_core *core, const uint8_t *addresses, uint64_t count, uint32_t event, int verified,
                          double now, uint64_t *words)
{
    struct se_request requests[SE_BATCH];
    struct se_verdict verdicts[SE_BATCH];
    uint64_t time = se_to_ns(now);

    for (uint64_t done = 0; done < count;) {
        uint32_t next = count - done < SE_BATCH ? (uint32_t)(count - done) : SE_BATCH, generation;
        for (uint32_t i = 0; i < next; i++)
            requests[i] = ask(addresses + 16 * (done + i), event, verified, time);
        generation = se_core_decide(core, requests, verdicts, next);
        for (uint32_t i = 0; i < next; i++, done++)
            words[done] = se_pack_word(&verdicts[i], generation);
    }
}

uint64_t se_core_trace(struct se_core *core, const uint8_t address[16], uint32_t event, int verified, double now,
                       struct se_step steps[SE_STEPS], double *retry_after)
{
    struct se_request request = ask(address, event, verified, se_to_ns(now));
    struct se_reader *reader = se_reader_enter();
    const struct se_in_force *in_force = atomic_load_explicit(&core->in_force, memory_order_seq_cst);
    uint32_t generation = in_force ? in_force->generation : 0;
    struct se_verdict verdict;

    refuse_all(&verdict, 1);
    if (in_force)
        se_walk(in_force, &core->state, &request, &verdict, steps);
    se_reader_leave(reader);
    *retry_after = se_to_seconds(verdict.retry_after);
    return se_pack_word(&verdict, generation);
}

static struct se_network load_network(const uint8_t network[16], uint8_t length)
{
    return (struct se_network){se_mask(se_address_load(network), length), length};
}

void se_core_penalize(struct se_core *core, const uint8_t network[16], uint8_t length, double until, uint8_t reason, uint32_t kept_rule)
{
    struct se_penalty penalty = {load_network(network, length), se_to_ns(until), kept_rule, 1, reason};

    se_penalty_put(core->state.penalties, &penalty);
}

/* A network that is one source, or part of one, is forgiven in the sketch too; a wider one cannot be found there. */
static void forgive_in_sketch(struct se_core *core, const struct se_policy *policy, const struct se_network *network)
{
    struct se_network source = se_source_of(policy, network->address);

    for (uint32_t event = 0; network->length >= source.length && event < policy->snapshot->event_count; event++) {
        struct se_window_key key = se_key_of(&core->state, &source, event);
        se_sketch_forget(core->state.sketch, se_sketch_hash(&key));
    }
}

uint32_t se_core_forgive(struct se_core *core, const uint8_t network[16], uint8_t length, double now)
{
    struct se_network inside = load_network(network, length);
    struct se_reader *reader = se_reader_enter();
    const struct se_in_force *in_force = atomic_load_explicit(&core->in_force, memory_order_seq_cst);

    if (in_force)
        forgive_in_sketch(core, in_force->base, &inside);
    se_reader_leave(reader);
    se_windows_forget(core->state.windows, &inside);
    return se_penalties_forgive(core->state.penalties, &inside, se_to_ns(now));
}

uint32_t se_core_penalties(struct se_core *core, double now, struct se_penalty_row *out, uint32_t room)
{
    struct se_penalty *found = calloc(room + 1u, sizeof *found);
    uint32_t count;

    if (!found)
        return 0;
    count = se_penalties_list(core->state.penalties, se_to_ns(now), found, room);
    for (uint32_t i = 0; i < count && i < room; i++) {
        out[i] = (struct se_penalty_row){
            .until = se_to_seconds(found[i].until),
            .kept_rule = found[i].rule,
            .strikes = found[i].strikes,
            .length = found[i].network.length,
            .reason = found[i].reason,
        };
        se_address_store(out[i].network, found[i].network.address);
    }
    free(found);
    return count;
}

void se_core_watch(struct se_core *core, uint32_t every)
{
    se_log_watch(core->log, every);
}

uint32_t se_core_drain(struct se_core *core, struct se_decision_row *out, uint32_t room)
{
    struct se_decision decision;
    uint32_t count = 0;

    while (count < room && se_log_drain(core->log, &decision, 1)) {
        struct se_decision_row *row = &out[count++];
        *row = (struct se_decision_row){
            .word = se_pack_word(&decision.verdict, decision.generation),
            .retry_after = se_to_seconds(decision.verdict.retry_after),
            .now = se_to_seconds(decision.request.now),
            .latency = decision.latency,
            .event = decision.request.event,
            .port = decision.request.port,
            .local_port = decision.request.local_port,
            .protocol = decision.request.protocol,
            .verified = decision.request.verified,
        };
        memcpy(row->address, decision.request.address, sizeof row->address);
    }
    return count;
}

void se_core_count(struct se_core *core, struct se_counters *out)
{
    *out = (struct se_counters){
        .sources = se_windows_used(core->state.windows),
        .penalties = se_penalties_used(core->state.penalties),
        .evicted = se_windows_evicted(core->state.windows),
        .unlogged = se_log_dropped(core->log),
    };
    for (uint32_t i = 0; i < SE_READER_SLOTS; i++) {
        out->decisions += atomic_load_explicit(&core->tallies[i].decisions, memory_order_relaxed);
        out->refused += atomic_load_explicit(&core->tallies[i].refused, memory_order_relaxed);
    }
}
