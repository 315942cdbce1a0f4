/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The walk through the tiers, in the order that sentry_engine.cores.interface states. The same walk counts (`se_walk` without steps) and
 * explains (with them: every tier is looked at and nothing is counted).
 */
#ifndef SENTRY_ENGINE_DECIDE_H
#define SENTRY_ENGINE_DECIDE_H

#include "gate.h"
#include "state/penalty_box.h"
#include "state/sketch.h"
#include "state/sliding_window.h"

#define SE_STEPS 9u        /* never_block, rules, penalty, feeds, country, asn, anonymizer, limits, default */
#define SE_STEP_NONE 255u  /* no action, no reason */
#define SE_NO_RULE UINT32_MAX

/* What one tier said. */
struct se_step {
    uint8_t matched;  /* 1: `length` bits of the address did; limits: `limit` applies to that source */
    uint8_t length;   /* as in sentry_engine.cores.plan: IPv4 lengths plus 96 */
    uint8_t action, reason; /* SE_STEP_NONE: nothing matched */
    uint8_t decisive;
    uint8_t reserved[3];
    uint32_t rule;    /* as in se_verdict */
    uint32_t limit;   /* index to the plan's limits */
};

/* The state that requests are judged by. Everything in it may be used from any thread. */
struct se_state_tables {
    struct se_secret secret;
    struct se_windows *windows;
    struct se_penalties *penalties;
    struct se_sketch *sketch;
};

/* Answers one request. `steps`: NULL, or room for SE_STEPS. What is in force must stay alive until this returns. */
void se_walk(const struct se_in_force *in_force, struct se_state_tables *state, const struct se_request *request,
             struct se_verdict *verdict, struct se_step *steps);

/* Answers up to SE_AHEAD requests, for less than one by one. */
#define SE_AHEAD 16u
void se_walk_many(const struct se_in_force *in_force, struct se_state_tables *state, const struct se_request *requests,
                  struct se_verdict *verdicts, uint32_t count);

/* The bits of an address that make a source under a policy. */
struct se_network se_source_of(const struct se_policy *policy, struct se_address address);

/* The key of what a source did, in the table of windows and, as its hash, in the sketch. */
struct se_window_key se_key_of(const struct se_state_tables *state, const struct se_network *source, uint32_t event);
uint64_t se_sketch_hash(const struct se_window_key *key);

#endif
