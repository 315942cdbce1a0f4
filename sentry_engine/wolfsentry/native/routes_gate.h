/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * gate.h answered with libwolfsentry in the middle: first the core that knows the operator's networks and rules, then
 * the library's tables of routes, then the core with the whole policy. Unlike the engine's own gate it takes a lock that
 * a swap holds, and the library's: the price of its tables.
 */
#ifndef SENTRY_ENGINE_WOLFSENTRY_ROUTES_GATE_H
#define SENTRY_ENGINE_WOLFSENTRY_ROUTES_GATE_H

#include "gate.h"
#include "library.h"

#define SE_WS_MAX_TABLES 16u

struct se_ws_gate;

/* `front` and `inner` are gates of cores that outlive this one. NULL where memory is short. */
struct se_ws_gate *se_ws_gate_open(const void *front, const void *inner);
void se_ws_gate_close(struct se_ws_gate *gate);

/* Puts `tables` in force, in this order; the caller owns them and closes none before another call has replaced it.
 * -EINVAL for more than SE_WS_MAX_TABLES. */
int se_ws_gate_set(struct se_ws_gate *gate, struct se_ws *const *tables, uint32_t count);

/* The struct se_gate, valid until the close. */
const void *se_ws_gate_table(struct se_ws_gate *gate);

#endif
