/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "runtime/session_wheel.h"

#include "list.h"
#include "runtime/clock.h"
#include "runtime/session_table.h"

#define RESTING GW_WHEEL_SLOTS      /* of gw_session.place: an index of `slots`, or one of these */
#define NOWHERE (GW_WHEEL_SLOTS + 1)

void gw_wheel_init(struct gw_session_wheel *wheel)
{
    *wheel = (struct gw_session_wheel){ .soonest = GW_NEVER };
}

static struct gw_session **list_of(struct gw_session_wheel *wheel, const struct gw_session *session)
{
    return session->place == RESTING ? &wheel->resting : &wheel->slots[session->place];
}

/* The second in which `due` has passed, inside the wheel. */
static uint64_t second_of(const struct gw_session_wheel *wheel, uint64_t due)
{
    uint64_t second = due / GW_SECOND + (due % GW_SECOND != 0);

    if (second < wheel->second)
        return wheel->second;
    return second - wheel->second < GW_WHEEL_SLOTS ? second : wheel->second + GW_WHEEL_SLOTS - 1;
}

void gw_wheel_add(struct gw_session_wheel *wheel, struct gw_session *session, uint64_t now, uint64_t due)
{
    uint64_t second;

    if (due == GW_NEVER) {
        session->place = RESTING;
        GW_LIST_ADD(wheel->resting, session);
        return;
    }
    if (!wheel->timed && wheel->second < now / GW_SECOND)
        wheel->second = now / GW_SECOND;    /* it stood still while there was nothing to do */
    second = second_of(wheel, due);
    session->place = (uint32_t)(second % GW_WHEEL_SLOTS);
    GW_LIST_ADD(wheel->slots[session->place], session);
    wheel->timed++;
    if (second < wheel->soonest)
        wheel->soonest = second;
}

void gw_wheel_remove(struct gw_session_wheel *wheel, struct gw_session *session)
{
    struct gw_session **list = list_of(wheel, session);

    GW_LIST_REMOVE(*list, session);
    wheel->timed -= session->place != RESTING;
    session->place = NOWHERE;
}

void gw_wheel_hasten(struct gw_session_wheel *wheel, struct gw_session *session, uint64_t now, uint64_t due)
{
    uint64_t present;

    if (session->place == NOWHERE || due == GW_NEVER)
        return;
    if (session->place != RESTING) {
        present = wheel->second + (session->place + GW_WHEEL_SLOTS - wheel->second % GW_WHEEL_SLOTS) % GW_WHEEL_SLOTS;
        if (second_of(wheel, due) >= present)
            return;
    }
    gw_wheel_remove(wheel, session);
    gw_wheel_add(wheel, session, now, due);
}

static void find_soonest(struct gw_session_wheel *wheel)
{
    uint64_t second = wheel->second;

    while (wheel->timed && !wheel->slots[second % GW_WHEEL_SLOTS])
        second++;
    wheel->soonest = wheel->timed ? second : GW_NEVER;
}

struct gw_session *gw_wheel_take(struct gw_session_wheel *wheel, uint64_t now)
{
    uint64_t present = now / GW_SECOND;

    if (wheel->soonest > present)       /* GW_NEVER too */
        return NULL;
    for (; wheel->second <= present; wheel->second++) {
        struct gw_session *session = wheel->slots[wheel->second % GW_WHEEL_SLOTS];

        if (session) {
            gw_wheel_remove(wheel, session);
            return session;
        }
        if (!wheel->timed)
            break;
    }
    find_soonest(wheel);
    return NULL;
}

struct gw_session *gw_wheel_take_any(struct gw_session_wheel *wheel)
{
    for (uint32_t place = 0; place <= RESTING; place++) {
        struct gw_session *session = place == RESTING ? wheel->resting : wheel->slots[place];

        if (session) {
            gw_wheel_remove(wheel, session);
            return session;
        }
    }
    return NULL;
}

uint64_t gw_wheel_next(const struct gw_session_wheel *wheel)
{
    return wheel->soonest == GW_NEVER ? GW_NEVER : wheel->soonest * GW_SECOND;
}
