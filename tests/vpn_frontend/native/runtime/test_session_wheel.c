/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Random moments, changes and removals on the wheel of sessions, beside a plain table of them: nothing is taken a second late, and
 * nothing before its second but what lies beyond the wheel.
 */
#include "runtime/session_wheel.h"

#include "runtime/clock.h"
#include "runtime/session_table.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define SESSIONS 300
#define STEPS 50000
#define LONG (3 * GW_WHEEL_SLOTS * GW_SECOND)

static struct gw_session sessions[SESSIONS];
static uint64_t due[SESSIONS];      /* what the plain table says; GW_NEVER: never */
static bool present[SESSIONS];
static uint64_t taken, early;

/* Now, soon, later, beyond the wheel, or never. */
static uint64_t moment(uint64_t now)
{
    uint64_t fraction = (uint64_t)rand() % GW_SECOND;

    switch (rand() % 6) {
    case 0:
        return GW_NEVER;
    case 1:
        return now;
    case 2:
        return now + (uint64_t)rand() % LONG;
    default:
        return now + (uint64_t)(rand() % 100) * GW_SECOND + fraction;
    }
}

static void put(struct gw_session_wheel *wheel, int number, uint64_t now, uint64_t when)
{
    due[number] = when;
    present[number] = true;
    gw_wheel_add(wheel, &sessions[number], now, when);
}

static void change(struct gw_session_wheel *wheel, int number, uint64_t now)
{
    uint64_t when = moment(now);

    if (!present[number]) {
        put(wheel, number, now, when);
    } else if (rand() % 3 == 0) {
        gw_wheel_remove(wheel, &sessions[number]);
        present[number] = false;
    } else {
        gw_wheel_hasten(wheel, &sessions[number], now, when);
        due[number] = when < due[number] ? when : due[number];
    }
}

/* Takes what is due, as a worker does at `now`: the session is put back for later, if anything is due then. */
static void turn(struct gw_session_wheel *wheel, uint64_t now)
{
    struct gw_session *session;

    while ((session = gw_wheel_take(wheel, now))) {
        int number = (int)(session - sessions);
        uint64_t when = due[number];

        assert(present[number] && when != GW_NEVER);
        gw_wheel_hasten(wheel, session, now, now);      /* ignored: it is in our hands */
        taken++;
        early += when > now;
        if (when <= now)
            when = moment(now);
        put(wheel, number, now, when > now ? when : now + 1);
    }
    for (int i = 0; i < SESSIONS; i++)
        assert(!present[i] || due[i] == GW_NEVER || due[i] / GW_SECOND >= now / GW_SECOND);
}

static uint64_t soonest(void)
{
    uint64_t found = GW_NEVER;

    for (int i = 0; i < SESSIONS; i++)
        if (present[i] && due[i] < found)
            found = due[i];
    return found;
}

static void test_random_moments(void)
{
    struct gw_session_wheel wheel;
    uint64_t now = 5 * GW_SECOND + 1;

    gw_wheel_init(&wheel);
    for (int step = 0; step < STEPS; step++) {
        change(&wheel, rand() % SESSIONS, now);
        if (rand() % 10 == 0) {
            uint64_t pause = rand() % 2000 ? (uint64_t)rand() % (2 * GW_SECOND) : LONG;

            turn(&wheel, now += pause);
            assert(gw_wheel_next(&wheel) > now - now % GW_SECOND);
        }
        /* A worker that sleeps until then misses no second. */
        assert(soonest() == GW_NEVER || gw_wheel_next(&wheel) <= soonest() + GW_SECOND);
    }
    assert(taken > 2000 && early < taken / 4);
}

/* What is not due is not looked at, and a wheel without moments tells its worker to sleep. */
static void test_that_an_idle_wheel_is_left_alone(void)
{
    struct gw_session_wheel wheel;
    struct gw_session idle[3] = { 0 };

    gw_wheel_init(&wheel);
    assert(gw_wheel_next(&wheel) == GW_NEVER && !gw_wheel_take(&wheel, GW_SECOND));
    gw_wheel_add(&wheel, &idle[0], GW_SECOND, GW_NEVER);
    gw_wheel_add(&wheel, &idle[1], GW_SECOND, 90 * GW_SECOND);
    gw_wheel_add(&wheel, &idle[2], GW_SECOND, 40 * GW_SECOND);
    assert(gw_wheel_next(&wheel) == 40 * GW_SECOND);
    assert(!gw_wheel_take(&wheel, 40 * GW_SECOND - 1));
    assert(gw_wheel_take(&wheel, 40 * GW_SECOND) == &idle[2]);
    assert(!gw_wheel_take(&wheel, 40 * GW_SECOND));
    assert(gw_wheel_next(&wheel) == 90 * GW_SECOND);
    gw_wheel_remove(&wheel, &idle[1]);
    assert(!gw_wheel_take(&wheel, 1000 * GW_SECOND));
    assert(gw_wheel_next(&wheel) == GW_NEVER);
    gw_wheel_hasten(&wheel, &idle[0], 1000 * GW_SECOND, 1001 * GW_SECOND);
    assert(gw_wheel_next(&wheel) == 1001 * GW_SECOND);
    assert(gw_wheel_take_any(&wheel) == &idle[0] && !gw_wheel_take_any(&wheel));
}

int main(void)
{
    srand(7);
    test_that_an_idle_wheel_is_left_alone();
    test_random_moments();
    puts("ok");
    return 0;
}
