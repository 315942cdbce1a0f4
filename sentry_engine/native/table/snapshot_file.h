/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A policy in a file: its snapshot as it is, with the checksum. It is read into memory and not mapped, so that a file that
 * is overwritten or truncated later cannot change or crash a running server.
 *
 * cffi reads this header (cffi_headers.py).
 */
#ifndef SENTRY_ENGINE_SNAPSHOT_FILE_H
#define SENTRY_ENGINE_SNAPSHOT_FILE_H

#include "table/policy.h"

/* Writes the snapshot of a policy to a descriptor. Returns 0 or a negative errno. */
int se_policy_write(const struct se_policy *policy, int descriptor);

/*
 * Reads a snapshot of `size` bytes at `offset` and validates all of it. The caller owns the policy. Returns 0, -EINVAL with
 * `fault` filled, or another negative errno.
 */
int se_policy_read(int descriptor, uint64_t offset, uint64_t size, struct se_policy **out, struct se_fault *fault);

#endif
