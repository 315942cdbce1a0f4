/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A peer that was last heard at HEARD. Ticks come in time, late, and after a long suspend of the machine.
 */
#include "runtime/dpd.h"

#include <assert.h>
#include <stdio.h>

#define HEARD 1000u
#define PATIENCE 100u

static enum gw_dpd after(uint64_t silence, uint64_t probed)
{
    return gw_dpd(HEARD + silence, HEARD, probed, PATIENCE);
}

static void test_in_time(void)
{
    const uint64_t first = HEARD + PATIENCE, second = first + PATIENCE / 2;

    assert(after(0, HEARD) == GW_DPD_OK);
    assert(after(PATIENCE - 1, HEARD) == GW_DPD_OK);
    assert(after(PATIENCE, HEARD) == GW_DPD_PROBE);
    assert(after(PATIENCE + 1, first) == GW_DPD_OK);
    assert(after(PATIENCE + PATIENCE / 2, first) == GW_DPD_PROBE);
    assert(after(2 * PATIENCE - 1, second) == GW_DPD_OK);
    assert(after(2 * PATIENCE, second) == GW_DPD_DEAD);
}

static void test_late(void)
{
    const uint64_t question = HEARD + 2 * PATIENCE - 1;

    assert(after(2 * PATIENCE, HEARD) == GW_DPD_PROBE);           /* the tick that would have probed was missed */
    assert(after(1000 * PATIENCE, HEARD - 1) == GW_DPD_PROBE);    /* probed before it was heard, and not since */
    assert(after(2 * PATIENCE, question) == GW_DPD_OK);   /* it has had no time to answer */
    assert(after(3 * PATIENCE, question) == GW_DPD_DEAD);
}

int main(void)
{
    test_in_time();
    test_late();
    assert(gw_dpd(HEARD * 1000, HEARD, HEARD, 0) == GW_DPD_OK);
    puts("ok");
    return 0;
}
