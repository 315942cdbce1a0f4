/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A built policy in a file: the block of memory as it is, with its checksum. It is read into memory of its own and not
 * mapped, so that a file that is overwritten or cut short later cannot change or kill a running server.
 */
#ifndef SENTRY_ENGINE_SNAPSHOT_FILE_H
#define SENTRY_ENGINE_SNAPSHOT_FILE_H

#include "table/policy.h"

/* Writes the block of a policy to a descriptor. Returns 0 or a negative errno. */
int se_policy_write(const struct se_policy *policy, int descriptor);

/*
 * Reads `size` bytes from `offset` on as a block, and believes none of it: checksum, layout, and every number that is used
 * as an index are checked. Returns 0, -EINVAL with `fault` filled, or another negative errno.
 */
int se_policy_read(int descriptor, uint64_t offset, uint64_t size, struct se_policy **out, struct se_fault *fault);

/* The checks alone, of a block in memory whose checksum is right. Returns 0 or -EINVAL with `fault` filled. */
int se_snapshot_check(const struct se_snapshot *snapshot, uint64_t size, struct se_fault *fault);

/* Which name in the engine's list a limit's penalties carry; before the policy is installed. */
void se_policy_keep_rule(struct se_policy *policy, uint32_t limit, uint32_t kept_rule);

#endif
