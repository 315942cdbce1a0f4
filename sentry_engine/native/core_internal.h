/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the other units on top of the core use of it.
 */
#ifndef SENTRY_ENGINE_CORE_INTERNAL_H
#define SENTRY_ENGINE_CORE_INTERNAL_H

#include "core.h"
#include "decision/decide.h"
#include "decision/decision_log.h"

#define SE_BATCH 256u /* requests answered by one policy before a new one is seen */
#define SE_WORD_HAS_RETRY (UINT64_C(1) << 4)

/* Answers up to SE_BATCH requests by one policy. Returns its generation, 0 without a policy. */
uint32_t se_core_decide(struct se_core *core, const struct se_request *requests, struct se_verdict *verdicts, uint32_t count);

/* A verdict of a rule of the policy that is not counted yet. Zeroed: none. */
struct se_late_hit {
    uint32_t generation; /* of the policy; 0: nothing is to be counted */
    uint32_t rule;
};

/*
 * Answers one request as se_core_decide. The counter of a rule is fetched from memory meanwhile and counted by the next call, which
 * leaves its own verdict in `late`. A hit of a policy that was replaced stays in `late` uncounted: then nothing is answered, and
 * the caller takes it out and calls again. Returns false in that case. No other thread uses `late`.
 */
bool se_core_decide_one(struct se_core *core, const struct se_request *request, struct se_verdict *verdict, struct se_late_hit *late,
                        uint32_t *generation);

/* Counts a late hit. Returns false, with the hit as it is, if its policy was replaced. */
bool se_core_count_late(struct se_core *core, struct se_late_hit *late);

/* Owned by the core. */
struct se_state_tables *se_core_state(struct se_core *core);
struct se_log *se_core_log(struct se_core *core);

/* The policy in force, NULL: none. Valid between se_epoch_enter and se_epoch_leave, which the caller calls around it. */
const struct se_in_force *se_core_in_force(struct se_core *core);

/* Refuses requests that cannot be understood, and those to a core without a policy. */
void se_refuse_all(struct se_verdict *verdicts, uint32_t count);

/*
 * An answer as Python receives it, in a word: action (bits 0 to 3), a retry_after exists (4), reason (8 to 15), generation
 * modulo 65536 (16 to 31), rule (32 to 63).
 */
static inline uint64_t se_pack_word(const struct se_verdict *verdict, uint32_t generation)
{
    return verdict->action | (uint64_t)verdict->reason << 8 | (uint64_t)(generation & 0xffff) << 16 |
           (verdict->retry_after ? SE_WORD_HAS_RETRY : 0) | (uint64_t)verdict->rule << 32;
}

#endif
