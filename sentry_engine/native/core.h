/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * One engine: the policy in force, the state that outlives it, and the gate through which others ask.
 */
#ifndef SENTRY_ENGINE_CORE_H
#define SENTRY_ENGINE_CORE_H

#include "decide.h"
#include "decision_log.h"
#include "table/snapshot.h"
#include "table/snapshot_file.h"

#define SE_CORE_ABI 3u          /* of the calls below, compared when Python imports the module */

struct se_core;

/* The ABI number that this library was compiled with. */
uint32_t se_core_abi(void);

/* Returns 0 or a negative errno. Without a policy every request is refused. */
int se_core_open(struct se_core **out);

/* No thread may ask any more. The policies stay the caller's. */
void se_core_close(struct se_core *core);

/* Builds a policy of the columns; the caller owns it. As se_snapshot_build. */
int se_core_build(const struct se_plan_columns *plan, struct se_policy **out, struct se_fault *fault);

/*
 * Puts a base and an overlay (or NULL) in force. Both stay the caller's, and must live until the pair they are in was
 * replaced and is unread. Stores the pair before (NULL: none), to be freed with se_in_force_free once it is unread.
 * Returns 0 or -ENOMEM.
 */
int se_core_install(struct se_core *core, const struct se_policy *base, const struct se_policy *overlay,
                    struct se_in_force **before);
int se_in_force_is_unread(const struct se_in_force *in_force);
void se_in_force_free(struct se_in_force *in_force);

/* The rules of a policy that gave verdicts: up to `room` indices and counts; returns how many there are. */
uint32_t se_policy_hits(const struct se_policy *policy, uint32_t *rules, uint64_t *counts, uint32_t room);

/* The same of the names kept for penalties. */
uint32_t se_core_kept_hits(struct se_core *core, uint32_t *rules, uint64_t *counts, uint32_t room);

/* Publications so far. The low 16 bits of it are in every answer, to tell whose rule names it speaks of. */
uint32_t se_core_generation(const struct se_core *core);

/* Bytes of the tables of sources. */
uint64_t se_core_state_bytes(void);

/* For the core's own sources: what outlives a policy, and the policy in force, to be read between se_reader_enter and leave. */
struct se_state_tables *se_core_state(struct se_core *core);
const struct se_in_force *se_core_in_force(struct se_core *core);

struct se_gate *se_core_gate(struct se_core *core);

#define SE_BATCH 256u           /* requests answered by one policy before a new one gets its turn */
#define SE_WORD_HAS_RETRY (UINT64_C(1) << 4)

/* Answers up to SE_BATCH requests by one policy, with the time in ns. Returns its generation. */
uint32_t se_core_decide(struct se_core *core, const struct se_request *requests, struct se_verdict *verdicts, uint32_t count);

/*
 * An answer as Python gets it, in a word: action (bits 0 to 3), whether there is a retry_after (4), reason (8 to 15),
 * generation modulo 65536 (16 to 31), rule (32 to 63).
 */
static inline uint64_t se_pack_word(const struct se_verdict *verdict, uint32_t generation)
{
    return verdict->action | (uint64_t)verdict->reason << 8 | (uint64_t)(generation & 0xffff) << 16 |
           (verdict->retry_after ? SE_WORD_HAS_RETRY : 0) | (uint64_t)verdict->rule << 32;
}

/* Python's seconds. A time that is no time (negative, not a number) is the beginning of the clock: nothing has expired yet. */
uint64_t se_to_ns(double seconds);
double se_to_seconds(uint64_t ns); /* inf for ever */

/* `count` addresses of 16 bytes, one event, answered in words. */
void se_core_answer_words(struct se_core *core, const uint8_t *addresses, uint64_t count, uint32_t event, int verified,
                          double now, uint64_t *words);

/* The walk with every step, counting nothing. Returns the answer as a word, and its retry_after in seconds. */
uint64_t se_core_trace(struct se_core *core, const uint8_t address[16], uint32_t event, int verified, double now,
                       struct se_step steps[SE_STEPS], double *retry_after);

/* Times in seconds; `until` may be inf. Addresses are masked to `length`. */
void se_core_penalize(struct se_core *core, const uint8_t network[16], uint8_t length, double until, uint8_t reason, uint32_t kept_rule);
uint32_t se_core_forgive(struct se_core *core, const uint8_t network[16], uint8_t length, double now);

struct se_penalty_row {
    uint8_t network[16];
    double until; /* seconds; inf: without end */
    uint32_t kept_rule;
    uint16_t strikes;
    uint8_t length, reason;
};

/* Up to `room` penalties in force; returns how many there are. */
uint32_t se_core_penalties(struct se_core *core, double now, struct se_penalty_row *out, uint32_t room);

/* A decision of the log, with the answer as a word. */
struct se_decision_row {
    uint64_t word;
    double retry_after, now; /* seconds */
    uint32_t latency;        /* ns */
    uint16_t event, port, local_port;
    uint8_t protocol, verified;
    uint8_t address[16];
};

/* See decision_log.h. One thread drains at a time. */
void se_core_watch(struct se_core *core, uint32_t every);
uint32_t se_core_drain(struct se_core *core, struct se_decision_row *out, uint32_t room);

struct se_counters {
    uint64_t decisions, refused, sources, penalties, evicted;
    uint64_t unlogged; /* decisions that the log had no room for */
};

void se_core_count(struct se_core *core, struct se_counters *out);

#endif
