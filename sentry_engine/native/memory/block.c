/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "memory/block.h"

#include <stdint.h>
#include <sys/mman.h>

void *se_block_map(size_t size)
{
    void *block = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (block == MAP_FAILED)
        return NULL;
    madvise(block, size, MADV_HUGEPAGE); /* its failure costs speed only: lookups miss the TLB more often */
    return block;
}

void se_block_unmap(const void *block, size_t size)
{
    munmap((void *)(uintptr_t)block, size);
}
