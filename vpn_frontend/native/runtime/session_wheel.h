/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The sessions of a worker by the second in which something may be due: a wheel of one list per second. What is not due costs
 * nothing. A moment beyond the wheel is looked at when the wheel has gone round, and put back.
 *
 * A session's moment is a lower bound. It is moved only to be earlier: a client that is heard all the time moves nothing, and is
 * put back when its old moment comes.
 */
#ifndef VPN_FRONTEND_SESSION_WHEEL_H
#define VPN_FRONTEND_SESSION_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

#define GW_WHEEL_SLOTS 512u         /* seconds */
#define GW_NEVER UINT64_MAX         /* a moment in ns that does not come */

struct gw_session;

struct gw_session_wheel {
    struct gw_session *slots[GW_WHEEL_SLOTS];   /* by second, modulo */
    struct gw_session *resting;     /* those for which nothing is ever due */
    uint64_t second;                /* the next to be looked at */
    uint64_t soonest;               /* no session is due in a second before this one; GW_NEVER: none is */
    uint32_t timed;                 /* sessions in slots */
};

void gw_wheel_init(struct gw_session_wheel *wheel);
/* Adds a session that is on no wheel, due at `due` in ns. */
void gw_wheel_add(struct gw_session_wheel *wheel, struct gw_session *session, uint64_t now, uint64_t due);
/* Requires a session on this wheel. */
void gw_wheel_remove(struct gw_session_wheel *wheel, struct gw_session *session);
/* Moves a session to `due` if that is earlier. Ignored for one that was taken and not put back. */
void gw_wheel_hasten(struct gw_session_wheel *wheel, struct gw_session *session, uint64_t now, uint64_t due);
/* Takes a session off that may be due; the caller adds it again. NULL: no more at `now`. */
struct gw_session *gw_wheel_take(struct gw_session_wheel *wheel, uint64_t now);
/* Takes any session off. NULL: there is none. */
struct gw_session *gw_wheel_take_any(struct gw_session_wheel *wheel);
/* When gw_wheel_take may find one, in ns, or before; GW_NEVER. */
uint64_t gw_wheel_next(const struct gw_session_wheel *wheel);

#endif
