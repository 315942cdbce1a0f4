/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The decision log: a bounded queue of fixed records. Any thread writes without a lock, one reads (after Vyukov's bounded
 * queue). A full queue drops records and counts them. From half full on only one record in SE_LOG_THINNING is kept: a flood
 * leaves a sample of itself, and room for other decisions.
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
    uint32_t latency;    /* of the walk, ns; UINT32_MAX: that or longer */
    uint32_t generation; /* of the policy that answered */
};

struct se_log;

/* Returns 0 or -ENOMEM. */
int se_log_open(struct se_log **out);
void se_log_close(struct se_log *log);

/* Records one in `every` decisions of each epoch slot; 0, the initial value: none. */
void se_log_set_sampling(struct se_log *log, uint32_t every);

/* `bell` is an eventfd that stays open while decisions are made; -1, the initial value: none. It is rung once for each time that
 * it is armed, with the next record. No fence is spent on that: a record that is made while the bell is armed may be missed, so
 * the reader looks once more a moment later. */
void se_log_set_bell(struct se_log *log, int bell);
void se_log_arm(struct se_log *log);

/* True if any decision is recorded. */
bool se_log_is_sampling(const struct se_log *log);

/* True if the decision with this number of its epoch slot is to be recorded. */
bool se_log_samples(const struct se_log *log, uint64_t number);
void se_log_add(struct se_log *log, const struct se_decision *decision);

/* Takes up to `room` records, oldest first. Returns how many. Requires that no other thread drains. */
uint32_t se_log_drain(struct se_log *log, struct se_decision *out, uint32_t room);

/* Decisions that were to be recorded and found the queue full. */
uint64_t se_log_dropped(const struct se_log *log);

#endif
