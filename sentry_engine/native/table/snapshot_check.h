/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Validation of a snapshot that comes from a file: every number that is used as an index is checked.
 */
#ifndef SENTRY_ENGINE_SNAPSHOT_CHECK_H
#define SENTRY_ENGINE_SNAPSHOT_CHECK_H

#include "plan.h"
#include "snapshot_layout.h"

/* Requires a right checksum. Returns 0, -ENOMEM, or -EINVAL with `fault` filled. */
int se_snapshot_check(const struct se_snapshot *snapshot, uint64_t size, struct se_fault *fault);

#endif
