/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The walk through the tiers, in the order of sentry_engine.cores.interface. One walk serves both purposes: without steps
 * it counts; with steps it visits every tier and counts nothing.
 */
#ifndef SENTRY_ENGINE_DECIDE_H
#define SENTRY_ENGINE_DECIDE_H

#include "decision/steps.h"
#include "gate.h"
#include "state/blocklist.h"
#include "state/penalty_box.h"
#include "state/sketch.h"
#include "state/sliding_window.h"
#include "table/policy_view.h"

/* What readers are given. */
struct se_in_force {
    const struct se_policy *policy; /* not owned */
    uint64_t retired_at;            /* se_epoch_retire */
    uint32_t generation;
};

/*
 * What outlives a policy: the blocks of the API and the state of sources. Any thread may read it. In the tier RULES a block
 * decides if no prefix of the policy is at least as specific.
 */
struct se_state_tables {
    struct se_secret secret;
    struct se_blocklist *blocklist;
    struct se_windows *windows;
    struct se_penalties *penalties;
    struct se_sketch *sketch;
};

/* Answers one request. `steps` is NULL, or has room for SE_STEPS. Requires that `in_force` stays alive. */
void se_walk(const struct se_in_force *in_force, struct se_state_tables *state, const struct se_request *request,
             struct se_verdict *verdict, struct se_step *steps);

/* Answers up to SE_LOOKAHEAD requests together, which is faster than one by one. Call se_walk_ahead for them before. */
#define SE_LOOKAHEAD 64u
void se_walk_many(const struct se_in_force *in_force, struct se_state_tables *state, const struct se_request *requests,
                  struct se_verdict *verdicts, uint32_t count);

/* Begins to fetch what the lookup of a request reads first: for requests that are walked next. */
void se_walk_ahead(const struct se_in_force *in_force, const struct se_request *requests, uint32_t count);

/* The network that counts as one source under a policy. */
struct se_network se_source_of(const struct se_policy *policy, struct se_address address);

/* The key of a source and event in the sliding windows, and its hash in the sketch. */
struct se_window_key se_key_of(const struct se_state_tables *state, const struct se_network *source, uint32_t event);
uint64_t se_sketch_hash(const struct se_window_key *key);

#endif
