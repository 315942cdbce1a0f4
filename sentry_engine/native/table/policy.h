/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A policy: built from a plan or read from a file, immutable once it is installed. Only its hit counters change.
 *
 * cffi reads this header (cffi_headers.py).
 */
#ifndef SENTRY_ENGINE_POLICY_H
#define SENTRY_ENGINE_POLICY_H

#include "plan.h"

struct se_policy;

/*
 * Builds a policy, which the caller owns and frees by se_policy_free. Returns 0, -ENOMEM, -E2BIG or -EINVAL, the last two
 * with `fault` filled.
 */
int se_policy_build(const struct se_plan_columns *plan, struct se_policy **out, struct se_fault *fault);
void se_policy_free(struct se_policy *policy);

/* Sets the number of the kept rule id that a limit's penalties carry. Only before the policy is installed. */
void se_policy_keep_rule(struct se_policy *policy, uint32_t limit, uint32_t kept_rule);

/* Bytes without the hit counters. */
uint64_t se_policy_bytes(const struct se_policy *policy);
uint32_t se_policy_rules(const struct se_policy *policy);
uint32_t se_policy_limits(const struct se_policy *policy);

/* Up to `room` rules that gave verdicts, with counts. Returns how many there are. */
uint32_t se_policy_hits(const struct se_policy *policy, uint32_t *rules, uint64_t *counts, uint32_t room);

#endif
