/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the gateway reads of an inner IP packet. A packet from a client must be whole and come from the client's own
 * address: anything else would let one client speak as another (GHSA-74qh-m79m-w8r7 is that fault in a peer).
 */
#ifndef VPN_FRONTEND_INNER_H
#define VPN_FRONTEND_INNER_H

#include "runtime/stats.h"

#include <stdbool.h>
#include <stddef.h>

struct gw_inner {
    uint8_t source[16], destination[16];    /* IPv4 as ::ffff:a.b.c.d */
    bool control;                           /* ICMP, IGMP, MLD: does not count as use of the tunnel */
};

/* GW_STAT_NONE, or why the packet is none: GW_STAT_rx_malformed, GW_STAT_rx_fragment. */
enum gw_stat gw_inner_read(const uint8_t *packet, size_t size, struct gw_inner *inner);
/* GW_STAT_NONE when `source` is one of the session's own two addresses. */
enum gw_stat gw_inner_check_source(const struct gw_inner *inner, const uint8_t own4[16], const uint8_t own6[16]);

#endif
