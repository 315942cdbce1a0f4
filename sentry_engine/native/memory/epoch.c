/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "memory/epoch.h"

#include "memory/spinlock.h"

#include <pthread.h>
#include <stddef.h>

/* One set for the process: a thread that asks several engines needs one slot. Epochs start at 1. */
static struct se_epoch_slot slots[SE_EPOCH_SLOTS];
static _Atomic uint64_t epoch = 1;
static _Thread_local struct se_epoch_slot *own;
static _Thread_local int has_none;
static pthread_key_t at_thread_end;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int can_own;

static int claim_if_free(struct se_epoch_slot *slot)
{
    uint32_t free = 0;

    return atomic_compare_exchange_strong_explicit(&slot->claimed, &free, 1, memory_order_acquire, memory_order_relaxed);
}

static void release(void *slot)
{
    own = NULL;
    atomic_store_explicit(&((struct se_epoch_slot *)slot)->claimed, 0, memory_order_release);
}

static void create_key(void)
{
    can_own = pthread_key_create(&at_thread_end, release) == 0;
}

/* For a thread's first request, and for every request of a thread that found no slot to own. */
static struct se_epoch_slot *claim(void)
{
    pthread_once(&once, create_key);
    for (uint32_t i = 0; can_own && !has_none && i < SE_OWN_SLOTS; i++) {
        if (!claim_if_free(&slots[i]))
            continue;
        if (pthread_setspecific(at_thread_end, &slots[i])) {
            release(&slots[i]);
            break;
        }
        own = &slots[i];
        return own;
    }
    has_none = 1;
    for (uint32_t i = 0;; i++) {
        struct se_epoch_slot *slot = &slots[SE_OWN_SLOTS + i % SE_LENT_SLOTS];
        if (claim_if_free(slot))
            return slot;
        if (i % SE_LENT_SLOTS == SE_LENT_SLOTS - 1)
            sched_yield();
    }
}

struct se_epoch_slot *se_epoch_enter(void)
{
    struct se_epoch_slot *slot = own ? own : claim();

    /* Sequentially consistent: the load of the policy that follows cannot pass it. So either the writer sees this slot, or
     * this reader sees the writer's replacement. */
    atomic_store_explicit(&slot->epoch, atomic_load_explicit(&epoch, memory_order_acquire), memory_order_seq_cst);
    return slot;
}

void se_epoch_leave(struct se_epoch_slot *slot)
{
    atomic_store_explicit(&slot->epoch, 0, memory_order_release);
    if (slot != own)
        atomic_store_explicit(&slot->claimed, 0, memory_order_release);
}

uint32_t se_epoch_slot_number(const struct se_epoch_slot *slot)
{
    return (uint32_t)(slot - slots);
}

uint64_t se_epoch_retire(void)
{
    return atomic_fetch_add_explicit(&epoch, 1, memory_order_seq_cst) + 1;
}

int se_epoch_passed(uint64_t retired)
{
    for (uint32_t i = 0; i < SE_EPOCH_SLOTS; i++) {
        uint64_t entered = atomic_load_explicit(&slots[i].epoch, memory_order_seq_cst);
        if (entered && entered < retired)
            return 0;
    }
    return 1;
}
