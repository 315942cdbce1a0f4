/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Checks packets against the restriction of their session, in both directions.
 *
 * Routes. The peer of a packet (destination of the client's, source of one to it) must lie in the networks.
 * Ports. The peer's port is looked up, so replies from a permitted port pass. Under GW_PORTS_ONLY a TCP SYN without ACK to the
 * client is refused: it opens a connection, and is no reply. What is inside of other tunnels (IP in IP, GRE) is not looked into.
 * Fragments. A later fragment has no ports: see fragment_table.h. A first one that hides its ports is refused (RFC 1858, RFC 7112).
 * ICMP errors to the client pass if they quote a packet that the client may send: path MTU discovery depends on them.
 */
#ifndef VPN_FRONTEND_PACKET_FILTER_H
#define VPN_FRONTEND_PACKET_FILTER_H

#include "limits/fragment_table.h"
#include "limits/refusal.h"
#include "limits/restriction.h"
#include "packet/inner_packet.h"

/* Of a session, for one restriction. Zero at first. */
struct gw_filter_state {
    struct gw_fragment_table *fragments;    /* owned by the session; NULL until one is needed */
    struct {
        uint64_t peer[2], transport;
    } permitted[2];                 /* of each direction, the last packet that passed: the next one is often of the same flow */
};

/* Checks a packet of which gw_inner_read has filled `inner`. `now`: ns. Without memory fragments are refused. */
enum gw_refusal gw_filter_check(const gw_restriction *restriction, struct gw_filter_state *state, enum gw_direction direction,
                                const uint8_t *packet, size_t size, const struct gw_inner *inner, uint64_t now);

#endif
