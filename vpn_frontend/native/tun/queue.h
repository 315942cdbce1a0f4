/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The worker's queue of the TUN device (IFF_TUN | IFF_NO_PI | IFF_MULTI_QUEUE, and IFF_VNET_HDR where large packets are
 * wanted): what is read goes to the session that owns the destination, here or on another worker.
 */
#ifndef VPN_FRONTEND_TUN_H
#define VPN_FRONTEND_TUN_H

#include "runtime/worker.h"

/* Finds out what the queue can do and agrees on it with the kernel; `allowed`: enum gw_offload. */
int gw_tun_init(struct gw_worker *worker, int fd, uint32_t allowed);
void gw_downlink_ready(struct gw_worker *worker);
/* The packet was checked, and is counted as received whatever the device makes of it (rx_tun_full). It may wait for the flush. */
void gw_tun_write(struct gw_worker *worker, const uint8_t *packet, size_t size);
/* At the end of a turn. */
void gw_tun_flush(struct gw_worker *worker);

#endif
