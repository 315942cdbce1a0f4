/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Checks the settings, limits, sets and paybacks of a plan, both before a policy is built and after one is read from a file.
 */
#ifndef SENTRY_ENGINE_PLAN_CHECK_H
#define SENTRY_ENGINE_PLAN_CHECK_H

#include "plan.h"

/* Fills `fault` for a part of the plan that is no row of a table. Returns -EINVAL. */
int se_refuse(struct se_fault *fault, const char *what, uint64_t number);

/* Checks all but the tables and the entries. Returns 0 or -EINVAL with `fault` filled. */
int se_plan_check(const struct se_plan_columns *plan, struct se_fault *fault);

#endif
