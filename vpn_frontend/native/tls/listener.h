/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Accepting: the policy is asked first, and who is refused is closed without a byte.
 */
#ifndef VPN_FRONTEND_LISTENER_H
#define VPN_FRONTEND_LISTENER_H

#include "runtime/worker.h"

void gw_listener_ready(struct gw_worker *worker, struct gw_listener *listener);
/* Resumes after a pause for lack of descriptors. */
void gw_listeners_tick(struct gw_worker *worker);
void gw_listeners_close(struct gw_worker *worker);
/* Tells the policy what a peer did; what it answers shows at the next accept. */
void gw_gate_report(struct gw_worker *worker, const struct gw_connection *connection, enum se_event event);

#endif
