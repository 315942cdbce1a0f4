/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "packet/inner_packet.h"

#include "packet/address.h"
#include "packet/ip_header.h"
#include "wire.h"

#include <netinet/in.h>
#include <string.h>

#define FIRST_FRAGMENT_MIN 16u      /* RFC 1858 section 3.1: ports, sequence number and flags in the first fragment */

/* True if a filter could not read the transport header. `offset` is in units of 8 bytes. */
static bool fragment_hides_header(uint8_t protocol, uint16_t offset, bool more, size_t payload)
{
    if (offset == 0)
        return more && payload < FIRST_FRAGMENT_MIN;
    return offset == 1 && protocol == IPPROTO_TCP;
}

static enum gw_inner_result read4(const uint8_t *packet, size_t size, struct gw_inner *inner)
{
    size_t header;
    uint16_t fragment;

    if (size < IPV4_HEADER)
        return GW_INNER_MALFORMED;
    header = (size_t)(packet[0] & 15) * 4;
    if (header < IPV4_HEADER || header > size || gw_read16(packet + 2) != size)
        return GW_INNER_MALFORMED;
    gw_map_ipv4(inner->source, packet + 12);
    gw_map_ipv4(inner->destination, packet + 16);
    inner->control = packet[9] == IPPROTO_ICMP || packet[9] == IPPROTO_IGMP;
    fragment = gw_read16(packet + 6);
    if (fragment_hides_header(packet[9], fragment & IPV4_OFFSET, fragment & IPV4_MORE_FRAGMENTS, size - header))
        return GW_INNER_FRAGMENT;
    return GW_INNER_OK;
}

static enum gw_inner_result read6(const uint8_t *packet, size_t size, struct gw_inner *inner)
{
    const uint8_t *payload = packet + IPV6_HEADER;

    if (size < IPV6_HEADER || gw_read16(packet + 4) + (size_t)IPV6_HEADER != size)
        return GW_INNER_MALFORMED;
    /* RFC 4942 section 2.2: mapped addresses are never sent; here one would pass for the IPv4 address that it holds. */
    if (gw_is_mapped(packet + 8) || gw_is_mapped(packet + 24))
        return GW_INNER_MALFORMED;
    memcpy(inner->source, packet + 8, 16);
    memcpy(inner->destination, packet + 24, 16);
    /* MLD has a hop-by-hop header (RFC 3810 section 5). */
    inner->control = packet[6] == IPPROTO_ICMPV6 ||
                     (packet[6] == IPPROTO_HOPOPTS && size > IPV6_HEADER && payload[0] == IPPROTO_ICMPV6);
    if (packet[6] != IPPROTO_FRAGMENT)
        return GW_INNER_OK;
    if (size < IPV6_HEADER + IPV6_FRAGMENT_HEADER)
        return GW_INNER_MALFORMED;
    if (fragment_hides_header(payload[0], gw_read16(payload + 2) >> 3, payload[3] & 1,
                              size - IPV6_HEADER - IPV6_FRAGMENT_HEADER))
        return GW_INNER_FRAGMENT;
    return GW_INNER_OK;
}

enum gw_inner_result gw_inner_read(const uint8_t *packet, size_t size, struct gw_inner *inner)
{
    if (size && packet[0] >> 4 == 4)
        return read4(packet, size, inner);
    if (size && packet[0] >> 4 == 6)
        return read6(packet, size, inner);
    return GW_INNER_MALFORMED;
}

enum gw_inner_result gw_inner_check_source(const struct gw_inner *inner, const uint8_t own4[16], const uint8_t own6[16])
{
    static const uint8_t unspecified[16];

    if (memcmp(inner->source, unspecified, 16) == 0)
        return GW_INNER_LINK_LOCAL;
    if (memcmp(inner->source, own4, 16) == 0 || memcmp(inner->source, own6, 16) == 0)
        return GW_INNER_OK;
    if (gw_is_link_local(inner->source))
        return GW_INNER_LINK_LOCAL;
    return GW_INNER_SPOOFED;
}
