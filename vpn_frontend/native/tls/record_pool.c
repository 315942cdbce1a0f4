/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tls/record_pool.h"

#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/memory.h>

#define SMALL 1024u                 /* bytes up to which malloc is as fast */

static _Thread_local struct {
    bool keeping, suspended;
    uint32_t count;
    void *blocks[GW_RECORD_BLOCKS];
} kept;

/* Under ASan every block is freed, so that it detects a use after free. */
static bool is_checked(void)
{
#ifdef __SANITIZE_ADDRESS__
    return true;
#else
    return false;
#endif
}

static void *take(size_t size)
{
    if (!kept.keeping || kept.suspended || size <= SMALL || size > GW_RECORD_BLOCK)
        return malloc(size);
    return kept.count ? kept.blocks[--kept.count] : malloc(GW_RECORD_BLOCK);
}

/* Keeps memory of at least a block, whichever call allocated it, but nothing much larger. */
static void give(void *memory)
{
    size_t holds = kept.keeping && kept.count < GW_RECORD_BLOCKS && memory ? malloc_usable_size(memory) : 0;

    if (holds >= GW_RECORD_BLOCK && holds < 2 * GW_RECORD_BLOCK)
        kept.blocks[kept.count++] = memory;
    else
        free(memory);
}

static void set_allocators(void)
{
    wolfSSL_SetAllocators(take, give, realloc);
}

void gw_record_pool_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, set_allocators);
}

void gw_record_pool_begin(void)
{
    kept.keeping = !is_checked();
}

void gw_record_pool_end(void)
{
    kept.keeping = false;
    while (kept.count)
        free(kept.blocks[--kept.count]);
}

void gw_record_pool_suspend(void)
{
    kept.suspended = true;
}

void gw_record_pool_resume(void)
{
    kept.suspended = false;
}
