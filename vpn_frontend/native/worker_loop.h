/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The thread of a worker: one epoll loop.
 */
#ifndef VPN_FRONTEND_WORKER_LOOP_H
#define VPN_FRONTEND_WORKER_LOOP_H

#include "runtime/worker.h"

/* Starts the thread. 0 or a negative errno. */
int gw_worker_start(struct gw_worker *worker);
/* Closes and frees all that the worker has. Requires that its thread was joined, or never started. NULL is ignored. */
void gw_worker_close(struct gw_worker *worker);

#endif
