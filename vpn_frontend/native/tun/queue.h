/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A worker's queues of the TUN device (IFF_TUN | IFF_NO_PI | IFF_MULTI_QUEUE, with IFF_VNET_HDR for large packets).
 */
#ifndef VPN_FRONTEND_TUN_QUEUE_H
#define VPN_FRONTEND_TUN_QUEUE_H

#include "runtime/worker.h"

#define GW_TUN_FAILURES 8u          /* reads; a single error passes */

/* Negotiates offloads with the kernel and takes the descriptor, unless it fails. `allowed`: enum gw_offload.
 * 0 or a negative errno. */
int gw_tun_add(struct gw_worker *worker, int fd, uint32_t allowed);
/* Writes a checked packet from `session` to its queue, perhaps only at the next flush. What the device refuses is counted
 * (rx_tun_full). */
void gw_tun_write(struct gw_worker *worker, struct gw_session *session, const uint8_t *packet, size_t size);
/* A queue failed with `error`, a positive errno. If that means a deleted device, no queue is polled any more and GW_TUN_DOWN is
 * sent, once. A device that is only down (EIO) may come up again. */
void gw_tun_failed(struct gw_worker *worker, int error);
/* A read of a queue failed with `error`, which is not EAGAIN. After GW_TUN_FAILURES of them, one after the other, GW_TUN_FAILING
 * is sent, unless another queue of the worker fails already, and the queue is polled once per tick only. */
void gw_tun_read_failed(struct gw_tun_queue *queue, int error);
/* A read worked after failures: GW_TUN_FAILING with 0 is sent if they were reported and no queue of the worker fails any more. */
void gw_tun_recovered(struct gw_tun_queue *queue);
/* Polls paused queues again. */
void gw_tun_tick(struct gw_worker *worker);
/* Writes what GRO holds. At the end of a turn, and after each readable connection. */
void gw_tun_flush(struct gw_worker *worker);

#endif
