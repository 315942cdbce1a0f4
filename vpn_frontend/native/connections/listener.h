/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Listening sockets. The policy is asked first; a refused connection is closed without a byte.
 */
#ifndef VPN_FRONTEND_LISTENER_H
#define VPN_FRONTEND_LISTENER_H

#include "runtime/worker.h"

/* Accepts connections that wait. Pauses all listeners of the worker when descriptors or memory are out. */
void gw_listener_ready(struct gw_worker *worker, struct gw_listener *listener);
/* Ends such a pause. */
void gw_listeners_tick(struct gw_worker *worker);
/* The sockets are shut down, on which epoll would report a hangup all the time. gw_listeners_watch: they listen again. */
void gw_listeners_unwatch(struct gw_worker *worker);
void gw_listeners_watch(struct gw_worker *worker);
void gw_listeners_close(struct gw_worker *worker);

#endif
