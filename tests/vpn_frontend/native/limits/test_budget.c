/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Budgets alone: what passes a bucket in any time, at any rate, from several threads; quotas.
 */
#include "limits/budget.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>

#define SECOND UINT64_C(1000000000)
#define THREADS 4u
#define TAKES 100000u

static gw_budget *shared;
static uint64_t passed;             /* atomic */

/* Bytes that pass within `seconds` if packets come twice as fast as the rate. */
static uint64_t carry(gw_budget *budget, uint64_t rate, size_t size, uint64_t seconds)
{
    uint64_t step = size * SECOND / (2 * rate), total = 0;

    for (uint64_t now = SECOND; now < (seconds + 1) * SECOND; now += step ? step : 1)
        if (gw_budget_take(budget, GW_TO_CLIENT, size, now) == GW_PERMITTED)
            total += size;
    return total;
}

static void test_a_bucket_passes_its_rate_and_its_burst(void)
{
    static const uint64_t rates[] = { 8000, 125000, 1250000, 125000000, 1250000000 };

    for (unsigned i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        uint64_t rate = rates[i], quarter = rate / 4, burst = quarter > GW_BURST_MIN ? quarter : GW_BURST_MIN;
        uint64_t seconds = rate > 10000000 ? 1 : 20, total;
        gw_budget *budget = gw_budget_new();

        gw_budget_set_rates(budget, 1, rate);
        total = carry(budget, rate, 1400, seconds);
        assert(total <= rate * seconds + burst + 1400);
        assert(total >= rate * seconds + burst - rate * seconds / 100 - 2800);
        gw_budget_release(budget);
    }
}

static void test_idle_time_fills_the_bucket_no_further(void)
{
    gw_budget *budget = gw_budget_new();
    unsigned taken = 0;

    gw_budget_set_rates(budget, 1000000, 0);
    assert(gw_budget_take(budget, GW_FROM_CLIENT, 1000, SECOND) == GW_PERMITTED);
    while (gw_budget_take(budget, GW_FROM_CLIENT, 1000, 1000 * SECOND) == GW_PERMITTED)
        taken++;
    assert(taken == 250);
    assert(gw_budget_take(budget, GW_FROM_CLIENT, 1000, 999 * SECOND) == GW_REFUSED_RATE);  /* a worker's clock is behind */
    gw_budget_set_rates(budget, 0, 0);
    assert(gw_budget_take(budget, GW_FROM_CLIENT, 1000, 1000 * SECOND) == GW_PERMITTED);
    gw_budget_release(budget);
}

static void *take_many(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < TAKES; i++)
        if (gw_budget_take(shared, GW_FROM_CLIENT, 1000, SECOND) == GW_PERMITTED) {
            gw_budget_charge(shared, 1000);
            __atomic_add_fetch(&passed, 1000, __ATOMIC_RELAXED);
        }
    gw_budget_release(shared);
    return NULL;
}

static void test_threads_share_a_bucket_exactly(void)
{
    pthread_t threads[THREADS];

    shared = gw_budget_new();
    gw_budget_set_rates(shared, 400000000, 0);
    gw_budget_set_quota(shared, INT64_MAX);
    for (unsigned i = 0; i < THREADS; i++) {
        gw_budget_share(shared);
        assert(!pthread_create(&threads[i], NULL, take_many, NULL));
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert(passed == 100000000);    /* a quarter of a second */
    assert(gw_budget_quota(shared) == INT64_MAX - 100000000);
    gw_budget_release(shared);
}

static void test_a_quota_ends_and_begins_again(void)
{
    gw_budget *budget = gw_budget_new();

    assert(gw_budget_quota(budget) == -1);
    gw_budget_set_quota(budget, 0);
    assert(gw_budget_take(budget, GW_TO_CLIENT, 1, SECOND) == GW_REFUSED_QUOTA);
    assert(gw_budget_claim_report(budget) && !gw_budget_claim_report(budget));
    gw_budget_set_quota(budget, 10);
    assert(gw_budget_take(budget, GW_TO_CLIENT, 100, SECOND) == GW_PERMITTED);
    gw_budget_charge(budget, 100);
    assert(gw_budget_quota(budget) == 0);
    assert(gw_budget_take(budget, GW_FROM_CLIENT, 1, SECOND) == GW_REFUSED_QUOTA);
    assert(gw_budget_claim_report(budget));
    gw_budget_set_quota(budget, -1);
    assert(gw_budget_take(budget, GW_FROM_CLIENT, 1, SECOND) == GW_PERMITTED);
    gw_budget_release(budget);
}

int main(void)
{
    test_a_bucket_passes_its_rate_and_its_burst();
    test_idle_time_fills_the_bucket_no_further();
    test_threads_share_a_bucket_exactly();
    test_a_quota_ends_and_begins_again();
    puts("ok");
    return 0;
}
