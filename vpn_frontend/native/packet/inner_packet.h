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
    GW_INNER_SOURCE_ROUTED,         /* IPv4 source route, IPv6 routing header with segments left: another destination follows */
    GW_INNER_LINK_LOCAL,            /* source or destination is IPv6 link-local, or the source is unspecified */
    GW_INNER_SPOOFED,               /* the source is not an address of the session */
    GW_INNER_BROADCAST,             /* to 255.255.255.255, to 0.0.0.0/8, or to the broadcast address of the clients' subnet */
    GW_INNER_MULTICAST,             /* to 224.0.0.0/3 (with the reserved 240.0.0.0/4) or ff00::/8 */
    GW_INNER_LOOPBACK,              /* to 127.0.0.0/8, ::1 or :: */
};

/* In host byte order. A mask of 0: there is none, or one without a broadcast address (/31, /32; RFC 3021). */
struct gw_subnet4 {
    uint32_t network, mask;
};

struct gw_inner {
    uint8_t source[16], destination[16];    /* IPv4 in mapped form */
    bool control;                   /* ICMP, IGMP or MLD: does not count as use of the tunnel */
    uint8_t protocol;               /* of the transport header */
    uint16_t transport;             /* where it begins, or the data of a later fragment. 0: it cannot be read */
    uint16_t fragment;              /* as in IPv4: IPV4_MORE_FRAGMENTS and IPV4_OFFSET; 0: a whole packet */
    uint32_t fragment_id;           /* of a fragment of IPv6 */
};

/* Parses the headers of a packet of `size` bytes up to the transport header. Returns GW_INNER_OK, _MALFORMED, _FRAGMENT or
 * _SOURCE_ROUTED; `inner` is filled unless the packet is malformed. Extension headers are walked, at most 8. */
enum gw_inner_result gw_inner_read(const uint8_t *packet, size_t size, struct gw_inner *inner);
/* Returns GW_INNER_OK if the source is one of the session's two addresses, else _LINK_LOCAL or _SPOOFED. */
enum gw_inner_result gw_inner_check_source(const struct gw_inner *inner, const uint8_t own4[16], const uint8_t own6[16]);
/* Returns GW_INNER_OK for a destination that is one host's and can be routed, else the reason. `subnet`: of the clients. */
enum gw_inner_result gw_inner_check_destination(const struct gw_inner *inner, const struct gw_subnet4 *subnet);

#endif
