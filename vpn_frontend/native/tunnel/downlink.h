/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Inner packets from the TUN queue, and from other workers, to clients.
 */
#ifndef VPN_FRONTEND_DOWNLINK_H
#define VPN_FRONTEND_DOWNLINK_H

#include "runtime/worker.h"

/* Reads a TUN queue, up to a bound per turn. */
void gw_downlink_read(struct gw_worker *worker, struct gw_tun_queue *queue);
/* Delivers packets that another worker read, and gives the batch back. */
void gw_downlink_take_batch(struct gw_worker *worker, struct gw_batch *batch);

#endif
