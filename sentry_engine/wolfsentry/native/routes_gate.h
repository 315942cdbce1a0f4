/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A gate with libwolfsentry in the middle. It asks the core that knows the operator's networks and rules, then the library's
 * route tables, then the core with the whole policy. Unlike the engine's own gate it takes a lock that a swap holds, and the
 * library's lock.
 *
 * cffi reads this header (sentry_engine/native/cffi_headers.py).
 */
#ifndef SENTRY_ENGINE_WOLFSENTRY_ROUTES_GATE_H
#define SENTRY_ENGINE_WOLFSENTRY_ROUTES_GATE_H

#include "gate.h"
#include "library.h"

#define SE_WS_MAX_TABLES 16u

struct se_ws_gate;

/* `front` and `inner` are gates of cores that outlive this one. Returns NULL without memory. */
struct se_ws_gate *se_ws_gate_open(const void *front, const void *inner);
void se_ws_gate_close(struct se_ws_gate *gate);

/*
 * Puts `tables` in force, in this order. The caller owns them and closes one only after another call has replaced it.
 * Returns 0, or -EINVAL for more than SE_WS_MAX_TABLES.
 */
int se_ws_gate_set(struct se_ws_gate *gate, struct se_ws *const *tables, uint32_t count);

/* The struct se_gate, valid until se_ws_gate_close. */
const void *se_ws_gate_table(struct se_ws_gate *gate);

#endif
