/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Whether the settings, limits, sets and paybacks of a plan fit together. The same check stands before a plan is built and
 * after a prepared one is read from a file.
 */
#ifndef SENTRY_ENGINE_PLAN_CHECK_H
#define SENTRY_ENGINE_PLAN_CHECK_H

#include "table/snapshot.h"

/* Fills `fault` for a part of the plan that is no row of a table. Returns -EINVAL. */
int se_refuse(struct se_fault *fault, const char *what, uint64_t number);

/* Everything but the tables and the entries. Returns 0 or -EINVAL with `fault` filled. */
int se_plan_check(const struct se_plan_columns *plan, struct se_fault *fault);

#endif
