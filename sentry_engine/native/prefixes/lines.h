/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Lines: an IPv4 index whose slots hold their ranges (struct se_line4), so that a lookup in a table that no cache holds waits for
 * memory once. With a million prefixes of a routing table a line has 7 ranges, and 4 % of the slots do not fit.
 */
#ifndef SENTRY_ENGINE_LINES_H
#define SENTRY_ENGINE_LINES_H

#include "prefixes/flatten.h"
#include "snapshot_layout.h"

/*
 * Fills `*lines`, one for each slot of the index, and `*spilled` with the ranges of `*spilled_count` that do not fit. Both are
 * owned by the caller, who frees them by free(). Returns 0, or -ENOMEM with nothing to free. With `*lines` NULL after 0, lines
 * would take more memory than slots and ranges do, or the index is too coarse.
 *
 * `slots` says for each slot in which range it starts, and behind the last one the last range.
 */
int se_lines_build(const struct se_index *index, const uint32_t *slots, const struct se_ranges *ranges, struct se_line4 **lines,
                   struct se_range4 **spilled, size_t *spilled_count);

#endif
