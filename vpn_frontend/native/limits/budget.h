/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Bandwidth and volume of one session, or of all sessions of a user. Any thread takes from it at any time, without a lock.
 *
 * Bandwidth is policed, per direction: a packet that finds the bucket empty is dropped, and none is queued. So there is no timer and
 * no memory per session, and no delay. The bucket holds a quarter of a second. TCP that loses a flight and waits for its
 * retransmission timer (200 ms in Linux) uses what the bucket gained meanwhile, so it reaches the rate.
 */
#ifndef VPN_FRONTEND_BUDGET_H
#define VPN_FRONTEND_BUDGET_H

#include "gateway.h"
#include "limits/refusal.h"

#include <stdbool.h>
#include <stddef.h>

#define GW_BURST_TIME UINT64_C(250000000)   /* ns: what a bucket holds, in time */
#define GW_BURST_MIN 65536u         /* bytes that it holds at least: a first flight of TCP, or a large packet of the kernel's */

/* Returns another reference to the same budget. */
gw_budget *gw_budget_share(gw_budget *budget);
/* Takes the tokens for a packet and returns GW_PERMITTED, or the reason against it. `now`: ns. */
enum gw_refusal gw_budget_take(gw_budget *budget, enum gw_direction direction, size_t size, uint64_t now);
/* Accounts for a packet that has passed. The quota may fall below 0 by the packets that several workers carry at once. */
void gw_budget_charge(gw_budget *budget, size_t size);
/* True for the first caller since the quota was set. */
bool gw_budget_claim_report(gw_budget *budget);

#endif
