/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tls/record_pool.h"

#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/memory.h>

#define SMALL 1024u                 /* bytes up to which malloc is as quick */

static _Thread_local struct {
    bool keeping, withheld;
    uint32_t count;
    void *blocks[GW_RECORD_BLOCKS];
} kept;

/* Under a memory checker every block goes back, or it would see no use after that. */
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
    if (!kept.keeping || kept.withheld || size <= SMALL || size > GW_RECORD_BLOCK)
        return malloc(size);
    return kept.count ? kept.blocks[--kept.count] : malloc(GW_RECORD_BLOCK);
}

/* Kept is what is large enough for a block, whoever asked for it; but nothing much larger, which would lie here unused. */
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
    kept.withheld = true;
}

void gw_record_pool_resume(void)
{
    kept.withheld = false;
}
