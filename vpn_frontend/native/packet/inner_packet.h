/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The checks of an inner IP packet. A packet from a client must be complete and carry the client's own source address.
 * Otherwise one client could send as another (GHSA-74qh-m79m-w8r7 is this fault in a peer).
 */
#ifndef VPN_FRONTEND_INNER_PACKET_H
#define VPN_FRONTEND_INNER_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum gw_inner_result {
    GW_INNER_OK,
    GW_INNER_MALFORMED,             /* no IP header, wrong length, unknown version */
    GW_INNER_FRAGMENT,              /* a fragment that hides its transport header (RFC 1858, RFC 7112) */
    GW_INNER_LINK_LOCAL,            /* the source is IPv6 link-local or unspecified */
    GW_INNER_SPOOFED,               /* the source is not an address of the session */
};

struct gw_inner {
    uint8_t source[16], destination[16];    /* IPv4 in mapped form */
    bool control;                   /* ICMP, IGMP or MLD: does not count as use of the tunnel */
};

/* Parses the header of a packet of `size` bytes. Returns GW_INNER_OK, _MALFORMED or _FRAGMENT;
 * `inner` is filled unless the packet is malformed. */
enum gw_inner_result gw_inner_read(const uint8_t *packet, size_t size, struct gw_inner *inner);
/* Returns GW_INNER_OK if the source is one of the session's two addresses, else _LINK_LOCAL or _SPOOFED. */
enum gw_inner_result gw_inner_check_source(const struct gw_inner *inner, const uint8_t own4[16], const uint8_t own6[16]);

#endif
