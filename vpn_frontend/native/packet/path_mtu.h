/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Inner packets that exceed the MTU of a client's tunnel, handled as a router does (RFC 1191, RFC 8201). IPv4 packets without
 * Don't Fragment are fragmented (RFC 791). For others the sender gets an ICMP error with the MTU. These functions only write
 * packets; the caller sends them.
 */
#ifndef VPN_FRONTEND_PATH_MTU_H
#define VPN_FRONTEND_PATH_MTU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GW_TOO_BIG_MAX 1280u        /* bytes of the largest ICMP error (RFC 4443 section 2.4) */

/* Iterates over the fragments of one IPv4 packet, which must outlive it. */
struct gw_fragments {
    const uint8_t *packet;
    size_t size, at, step;          /* `at`: first byte of the next fragment's payload; `step`: payload bytes of a fragment */
};

/* False: the packet may not be fragmented. Packets with IP options are not: each option has its own rule of copying. */
bool gw_fragments_begin(struct gw_fragments *fragments, const uint8_t *packet, size_t size, size_t mtu);
/* Writes the next fragment, at most `mtu` bytes, to `out`. Returns its size, or 0 after the last. */
size_t gw_fragments_next(struct gw_fragments *fragments, uint8_t *out);

/* True if the sender of this packet may get an ICMP error. */
bool gw_too_big_allowed(const uint8_t *packet, size_t size);
/* Writes the ICMP error for the sender of `packet` to `out`. Returns its size. */
size_t gw_too_big_write(const uint8_t *packet, size_t size, uint32_t mtu, uint8_t out[GW_TOO_BIG_MAX]);

#endif
