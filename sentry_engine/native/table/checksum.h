/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The checksum of snapshots and of what Python writes beside them. It detects damaged files, not forged ones.
 *
 * cffi reads this header (cffi_headers.py).
 */
#ifndef SENTRY_ENGINE_CHECKSUM_H
#define SENTRY_ENGINE_CHECKSUM_H

#include <stdint.h>

uint64_t se_checksum(const void *bytes, uint64_t size);

#endif
