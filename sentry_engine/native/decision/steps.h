/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What each tier said about a request, for explanations.
 *
 * cffi reads this header (cffi_headers.py).
 */
#ifndef SENTRY_ENGINE_STEPS_H
#define SENTRY_ENGINE_STEPS_H

#include <stdint.h>

#define SE_STEPS 9u       /* never_block, rules, penalty, feeds, country, asn, anonymizer, limits, default */
#define SE_STEP_NONE 255u /* no action, no reason */

struct se_step {
    uint8_t matched;  /* 1: the prefix of `length` bits matched; limits: `limit` applies to that source */
    uint8_t length;   /* as in plan.h: IPv4 lengths plus 96 */
    uint8_t action;   /* enum se_action; SE_STEP_NONE: nothing matched */
    uint8_t reason;   /* enum se_reason, or SE_STEP_NONE */
    uint8_t decisive;
    uint8_t reserved[3];
    uint32_t rule;    /* as se_verdict.rule */
    uint32_t limit;   /* index into the plan's limits, or SE_NO_LIMIT */
};

#endif
