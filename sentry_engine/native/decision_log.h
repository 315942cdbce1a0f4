/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Decisions on their way to who watches them: a bounded queue of fixed records, written by any thread without a lock and
 * read by one (after Vyukov's bounded queue). A full queue drops and counts. From half full on only one in SE_LOG_THINNING
 * is recorded, so that a flood leaves a sample of itself and room for what happens beside it.
 */
#ifndef SENTRY_ENGINE_DECISION_LOG_H
#define SENTRY_ENGINE_DECISION_LOG_H

#include "gate.h"

#include <stdbool.h>

#define SE_LOG_RECORDS 8192u /* of 64 bytes; a power of two */
#define SE_LOG_THINNING 64u

struct se_decision {
    struct se_request request;
    struct se_verdict verdict;
    uint32_t latency;    /* ns that the walk took; UINT32_MAX: longer than that */
    uint32_t generation; /* of the policy that answered */
};

struct se_log;

/* Returns 0 or -ENOMEM. */
int se_log_open(struct se_log **out);
void se_log_close(struct se_log *log);

/* Which share of the decisions is recorded: one in `every` of each thread's; 0: none, which is what a log starts with. */
void se_log_watch(struct se_log *log, uint32_t every);

/* Whether any decision is recorded. */
bool se_log_is_watching(const struct se_log *log);

/* Whether the decision with this number of its thread is to be recorded. */
bool se_log_wants(const struct se_log *log, uint64_t number);
void se_log_add(struct se_log *log, const struct se_decision *decision);

/* Takes up to `room` records, oldest first; returns how many. One caller at a time. */
uint32_t se_log_drain(struct se_log *log, struct se_decision *out, uint32_t room);

/* Decisions that were wanted and found no room. */
uint64_t se_log_dropped(const struct se_log *log);

#endif
