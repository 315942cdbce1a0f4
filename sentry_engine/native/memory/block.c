/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "memory/block.h"

#include <stdint.h>
#include <sys/mman.h>

#define HUGE_PAGE ((size_t)2 << 20)

/* The kernel aligns a mapping to huge pages if its size is a multiple of them. A small block would waste most of one. */
static size_t round_up(size_t size)
{
    return size < 2 * HUGE_PAGE ? size : (size + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
}

void *se_block_map(size_t size)
{
    size_t mapped = round_up(size);
    void *block = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (block == MAP_FAILED)
        return NULL;
    madvise(block, mapped, MADV_HUGEPAGE); /* its failure costs speed only: lookups miss the TLB more often */
    return block;
}

void se_block_unmap(const void *block, size_t size)
{
    munmap((void *)(uintptr_t)block, round_up(size));
}
