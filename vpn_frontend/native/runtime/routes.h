/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The routes of a worker's mailbox: where the addresses of sessions, and the networks behind them, lead.
 */
#ifndef VPN_FRONTEND_ROUTES_H
#define VPN_FRONTEND_ROUTES_H

#include "runtime/worker.h"

/* Puts the routes that wait into the worker's tables. To be called before packets are handled, and after messages were taken, which
 * may bring some: nothing wakes a worker for a route. */
void gw_routes_read(struct gw_worker *worker);

#endif
