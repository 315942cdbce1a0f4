/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Answers in the form that Python takes them: words for many addresses, the explained walk, the decision log. Times are
 * seconds. A call for one verdict goes through binding/fast_calls.c instead.
 *
 * cffi reads this header (cffi_headers.py).
 */
#ifndef SENTRY_ENGINE_PYTHON_CALLS_H
#define SENTRY_ENGINE_PYTHON_CALLS_H

#include "core.h"
#include "decision/steps.h"

/* Answers `count` addresses of 16 bytes for one event, a word each (se_pack_word). */
void se_core_answer_words(struct se_core *core, const uint8_t *addresses, uint64_t count, uint32_t event, int verified,
                          double now, uint64_t *words);

/* Fills every step and counts nothing. Returns the answer as a word. */
uint64_t se_core_trace(struct se_core *core, const uint8_t address[16], uint32_t event, int verified, double now,
                       struct se_step steps[SE_STEPS], double *retry_after);

/* One decision of the log, with the answer as a word. */
struct se_decision_row {
    uint64_t word;
    double retry_after, now;
    uint32_t latency; /* ns */
    uint16_t event, port, local_port;
    uint8_t protocol, verified;
    uint8_t address[16];
};

/* Records one in `every` decisions; 0: none. */
void se_core_set_log_sampling(struct se_core *core, uint32_t every);

/* See se_log_set_bell and se_log_arm. */
void se_core_set_log_bell(struct se_core *core, int bell);
void se_core_arm_log(struct se_core *core);

/* Takes up to `room` decisions, oldest first. Returns how many. Requires that no other thread drains. */
uint32_t se_core_drain_log(struct se_core *core, struct se_decision_row *out, uint32_t room);

#endif
