/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a client may reach: networks, and protocols with their ports. Immutable, so sessions with the same restriction share one.
 */
#ifndef VPN_FRONTEND_RESTRICTION_H
#define VPN_FRONTEND_RESTRICTION_H

#include "gateway.h"

#include <stdbool.h>

/* Returns another reference to the same restriction. */
gw_restriction *gw_restriction_share(gw_restriction *restriction);
/* True if the address lies in the networks. A binary search. */
bool gw_restriction_holds(const gw_restriction *restriction, const uint8_t address[16]);
enum gw_port_rule gw_restriction_port_rule(const gw_restriction *restriction);
/* True if the port of the peer is permitted; 0 for protocols without ports. Not with GW_PORTS_ANY. */
bool gw_restriction_permits(const gw_restriction *restriction, uint8_t protocol, uint16_t port);

#endif
