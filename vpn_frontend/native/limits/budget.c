/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "limits/budget.h"

#include <stdlib.h>

#define SECOND UINT64_C(1000000000)

/* A token bucket as the time at which it is full again (GCRA, ITU-T I.371): one word, so that a packet is one exchange. */
struct bucket {
    uint64_t rate;                  /* bytes per second; 0: no limit. Atomic, as all here */
    uint64_t burst;                 /* ns that an empty bucket needs */
    uint64_t full_at;               /* ns */
};

struct gw_budget {
    uint32_t references;
    bool metered;                   /* there is a quota */
    bool reported;                  /* that it is used up */
    int64_t left;                   /* bytes of the quota */
    struct bucket buckets[2];       /* by enum gw_direction */
};

gw_budget *gw_budget_new(void)
{
    struct gw_budget *budget = calloc(1, sizeof(*budget));

    if (budget)
        budget->references = 1;
    return budget;
}

gw_budget *gw_budget_share(gw_budget *budget)
{
    if (budget)
        __atomic_add_fetch(&budget->references, 1, __ATOMIC_RELAXED);
    return budget;
}

void gw_budget_release(gw_budget *budget)
{
    if (budget && !__atomic_sub_fetch(&budget->references, 1, __ATOMIC_ACQ_REL))
        free(budget);
}

static void set_rate(struct bucket *bucket, uint64_t rate)
{
    uint64_t least = rate ? GW_BURST_MIN * SECOND / rate : 0;

    __atomic_store_n(&bucket->burst, least > GW_BURST_TIME ? least : GW_BURST_TIME, __ATOMIC_RELAXED);
    __atomic_store_n(&bucket->rate, rate, __ATOMIC_RELAXED);
}

void gw_budget_set_rates(gw_budget *budget, uint64_t from_client, uint64_t to_client)
{
    set_rate(&budget->buckets[GW_FROM_CLIENT], from_client);
    set_rate(&budget->buckets[GW_TO_CLIENT], to_client);
}

void gw_budget_set_quota(gw_budget *budget, int64_t bytes)
{
    __atomic_store_n(&budget->metered, false, __ATOMIC_RELEASE);
    if (bytes < 0)
        return;
    __atomic_store_n(&budget->left, bytes, __ATOMIC_RELEASE);
    __atomic_store_n(&budget->reported, false, __ATOMIC_RELEASE);
    __atomic_store_n(&budget->metered, true, __ATOMIC_RELEASE);
}

int64_t gw_budget_quota(gw_budget *budget)
{
    int64_t left = __atomic_load_n(&budget->left, __ATOMIC_RELAXED);

    if (!__atomic_load_n(&budget->metered, __ATOMIC_ACQUIRE))
        return -1;
    return left > 0 ? left : 0;
}

static bool take_tokens(struct bucket *bucket, size_t size, uint64_t now)
{
    uint64_t rate = __atomic_load_n(&bucket->rate, __ATOMIC_RELAXED), full_at, next;

    if (!rate)
        return true;
    full_at = __atomic_load_n(&bucket->full_at, __ATOMIC_RELAXED);
    do {
        next = (full_at > now ? full_at : now) + size * SECOND / rate;
        if (next - now > __atomic_load_n(&bucket->burst, __ATOMIC_RELAXED))
            return false;
    } while (!__atomic_compare_exchange_n(&bucket->full_at, &full_at, next, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return true;
}

enum gw_refusal gw_budget_take(gw_budget *budget, enum gw_direction direction, size_t size, uint64_t now)
{
    if (__atomic_load_n(&budget->metered, __ATOMIC_ACQUIRE) && __atomic_load_n(&budget->left, __ATOMIC_RELAXED) <= 0)
        return GW_REFUSED_QUOTA;
    return take_tokens(&budget->buckets[direction], size, now) ? GW_PERMITTED : GW_REFUSED_RATE;
}

void gw_budget_charge(gw_budget *budget, size_t size)
{
    if (__atomic_load_n(&budget->metered, __ATOMIC_ACQUIRE))
        __atomic_sub_fetch(&budget->left, (int64_t)size, __ATOMIC_RELAXED);
}

bool gw_budget_claim_report(gw_budget *budget)
{
    return !__atomic_exchange_n(&budget->reported, true, __ATOMIC_ACQ_REL);
}
