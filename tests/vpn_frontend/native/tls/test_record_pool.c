/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The blocks that a thread keeps, counted by malloc's bytes in use. Not under ASan, where none are kept.
 */
#include "tls/record_pool.h"

#include <assert.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/memory.h>

#define RECORD 1400u
#define MANY (2 * GW_RECORD_BLOCKS)

static size_t in_use(void)
{
    return mallinfo2().uordblks;
}

static void take_and_give(unsigned count, size_t size)
{
    void *taken[MANY];

    for (unsigned i = 0; i < count; i++) {
        taken[i] = wolfSSL_Malloc(size);
        assert(taken[i]);
    }
    while (count)
        wolfSSL_Free(taken[--count]);
}

static void test_that_nothing_is_kept_by_a_thread_that_did_not_ask(void)
{
    size_t before = in_use();

    take_and_give(MANY, RECORD);
    assert(in_use() == before);
}

static void test_that_a_block_serves_again_whatever_the_record(void)
{
    void *first, *again;

    gw_record_pool_begin();
    first = wolfSSL_Malloc(RECORD);
    wolfSSL_Free(first);
    again = wolfSSL_Malloc(GW_RECORD_BLOCK);
    assert(again == first && malloc_usable_size(again) >= GW_RECORD_BLOCK);
    wolfSSL_Free(again);
    gw_record_pool_end();
}

static void test_that_no_more_than_the_bound_is_kept_and_all_goes_back(void)
{
    size_t before = in_use(), kept;

    gw_record_pool_begin();
    take_and_give(MANY, RECORD);
    kept = in_use() - before;
    assert(kept >= GW_RECORD_BLOCKS * GW_RECORD_BLOCK && kept < (GW_RECORD_BLOCKS + 1) * GW_RECORD_BLOCK);
    gw_record_pool_end();
    assert(in_use() == before);
}

static void test_that_other_sizes_are_not_kept(void)
{
    size_t before = in_use();

    gw_record_pool_begin();
    take_and_give(1, 4 * GW_RECORD_BLOCK);
    take_and_give(1, GW_RECORD_BLOCK + 1);      /* of a size that a block may have: kept, and too large for none */
    wolfSSL_Free(wolfSSL_Realloc(wolfSSL_Malloc(RECORD), 4 * GW_RECORD_BLOCK));
    wolfSSL_Free(NULL);
    assert(in_use() < before + 2 * GW_RECORD_BLOCK);
    gw_record_pool_end();
    assert(in_use() == before);
}

static void test_that_what_outlives_records_holds_no_more_than_it_asked_for(void)
{
    void *object;

    gw_record_pool_begin();
    take_and_give(1, RECORD);
    gw_record_pool_suspend();
    object = wolfSSL_Malloc(RECORD);
    gw_record_pool_resume();
    assert(malloc_usable_size(object) < GW_RECORD_BLOCK);
    wolfSSL_Free(object);
    gw_record_pool_end();
}

static void *free_it(void *block)
{
    wolfSSL_Free(block);
    return NULL;
}

static void test_that_a_block_may_be_given_back_by_another_thread(void)
{
    pthread_t other;

    gw_record_pool_begin();
    assert(!pthread_create(&other, NULL, free_it, wolfSSL_Malloc(RECORD)));
    pthread_join(other, NULL);
    take_and_give(1, RECORD);
    gw_record_pool_end();
}

int main(void)
{
    gw_record_pool_init();
    gw_record_pool_init();
    test_that_nothing_is_kept_by_a_thread_that_did_not_ask();
    test_that_a_block_serves_again_whatever_the_record();
    test_that_no_more_than_the_bound_is_kept_and_all_goes_back();
    test_that_other_sizes_are_not_kept();
    test_that_what_outlives_records_holds_no_more_than_it_asked_for();
    test_that_a_block_may_be_given_back_by_another_thread();
    puts("ok");
    return 0;
}
