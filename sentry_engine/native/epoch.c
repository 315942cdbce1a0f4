/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "epoch.h"

#include "spinlock.h"

#include <pthread.h>
#include <stddef.h>

/* One set for the process: a thread that asks several engines needs one slot. Epochs start at 1, so that 0 means no one. */
static struct se_reader slots[SE_READER_SLOTS];
static _Atomic uint64_t epoch = 1;
static _Thread_local struct se_reader *own;
static _Thread_local int has_none;
static pthread_key_t at_thread_end;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int can_own;

static int try_claim(struct se_reader *slot)
{
    uint32_t free = 0;

    return atomic_compare_exchange_strong_explicit(&slot->claimed, &free, 1, memory_order_acquire, memory_order_relaxed);
}

static void give_back(void *slot)
{
    own = NULL;
    atomic_store_explicit(&((struct se_reader *)slot)->claimed, 0, memory_order_release);
}

static void prepare(void)
{
    can_own = pthread_key_create(&at_thread_end, give_back) == 0;
}

/* The thread's first question, and every question of one that found no slot to own. */
static struct se_reader *claim(void)
{
    pthread_once(&once, prepare);
    for (uint32_t i = 0; can_own && !has_none && i < SE_OWN_SLOTS; i++) {
        if (!try_claim(&slots[i]))
            continue;
        if (pthread_setspecific(at_thread_end, &slots[i])) {
            give_back(&slots[i]);
            break;
        }
        own = &slots[i];
        return own;
    }
    has_none = 1;
    for (uint32_t i = 0;; i++) {
        struct se_reader *slot = &slots[SE_OWN_SLOTS + i % SE_LENT_SLOTS];
        if (try_claim(slot))
            return slot;
        if (i % SE_LENT_SLOTS == SE_LENT_SLOTS - 1)
            sched_yield();
    }
}

struct se_reader *se_reader_enter(void)
{
    struct se_reader *reader = own ? own : claim();

    /* Sequentially consistent, so that the load of the policy that follows cannot pass it: either the writer sees this
     * slot, or this reader sees the writer's replacement. */
    atomic_store_explicit(&reader->epoch, atomic_load_explicit(&epoch, memory_order_acquire), memory_order_seq_cst);
    return reader;
}

void se_reader_leave(struct se_reader *reader)
{
    atomic_store_explicit(&reader->epoch, 0, memory_order_release);
    if (reader != own)
        atomic_store_explicit(&reader->claimed, 0, memory_order_release);
}

uint32_t se_reader_number(const struct se_reader *reader)
{
    return (uint32_t)(reader - slots);
}

uint64_t se_readers_retire(void)
{
    return atomic_fetch_add_explicit(&epoch, 1, memory_order_seq_cst) + 1;
}

int se_readers_passed(uint64_t moment)
{
    for (uint32_t i = 0; i < SE_READER_SLOTS; i++) {
        uint64_t entered = atomic_load_explicit(&slots[i].epoch, memory_order_seq_cst);
        if (entered && entered < moment)
            return 0;
    }
    return 1;
}
