/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The packet that an ICMP error quotes (RFC 792; RFC 4443 section 2.4).
 */
#ifndef VPN_FRONTEND_ICMP_QUOTE_H
#define VPN_FRONTEND_ICMP_QUOTE_H

#include "packet/inner_packet.h"

/* Reads the quoted packet of an ICMP error that is whole: destination unreachable, packet too big, time exceeded, parameter problem.
 * Fills source, destination and protocol of `quoted`, and `transport`: the place of its transport header in `packet`, of which at
 * least 8 bytes follow. False: no such error, or its quote is a later fragment, has extension headers or is too short. */
bool gw_icmp_quote_read(const uint8_t *packet, size_t size, const struct gw_inner *inner, struct gw_inner *quoted);

#endif
