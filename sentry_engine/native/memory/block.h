/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Large blocks of memory, zeroed, in huge pages where the kernel has them.
 */
#ifndef SENTRY_ENGINE_BLOCK_H
#define SENTRY_ENGINE_BLOCK_H

#include <stddef.h>

/* Returns NULL when there is no memory. */
void *se_block_map(size_t size);

/* `size` is the one that was asked for. */
void se_block_unmap(const void *block, size_t size);

#endif
