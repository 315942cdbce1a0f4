/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Builds a snapshot from a plan: check, flatten, index, lay out.
 */
#ifndef SENTRY_ENGINE_SNAPSHOT_H
#define SENTRY_ENGINE_SNAPSHOT_H

#include "plan.h"
#include "snapshot_layout.h"

#include <stddef.h>

/*
 * Allocates a block of `*mapped` bytes by se_block_map; ownership passes to the caller. Returns 0, -ENOMEM, -E2BIG or
 * -EINVAL, the last two with `fault` filled.
 */
int se_snapshot_build(const struct se_plan_columns *plan, struct se_snapshot **out, size_t *mapped, struct se_fault *fault);

#endif
