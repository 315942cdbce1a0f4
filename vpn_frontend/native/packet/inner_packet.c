/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "packet/inner_packet.h"

#include "packet/address.h"

#include <netinet/in.h>
#include <string.h>

#define IPV4_HEADER 20u
#define IPV6_HEADER 40u
#define IPV6_FRAGMENT 8u
#define FIRST_FRAGMENT_MIN 16u      /* RFC 1858 section 3.1: ports, sequence number and flags in the first fragment */

static uint16_t read16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static bool is_mapped(const uint8_t *address)
{
    static const uint8_t prefix[12] = { [10] = 0xff, [11] = 0xff };

    return memcmp(address, prefix, sizeof(prefix)) == 0;
}

/* offset in units of 8 bytes. */
static bool fragment_hides_header(uint8_t protocol, uint16_t offset, bool more, size_t payload)
{
    if (offset == 0)
        return more && payload < FIRST_FRAGMENT_MIN;
    return offset == 1 && protocol == IPPROTO_TCP;
}

static enum gw_stat read4(const uint8_t *packet, size_t size, struct gw_inner *inner)
{
    size_t header;
    uint16_t fragment;

    if (size < IPV4_HEADER)
        return GW_STAT_rx_malformed;
    header = (size_t)(packet[0] & 15) * 4;
    if (header < IPV4_HEADER || header > size || read16(packet + 2) != size)
        return GW_STAT_rx_malformed;
    fragment = read16(packet + 6);
    if (fragment_hides_header(packet[9], fragment & 0x1fff, fragment & 0x2000, size - header))
        return GW_STAT_rx_fragment;
    gw_map_ipv4(inner->source, packet + 12);
    gw_map_ipv4(inner->destination, packet + 16);
    inner->control = packet[9] == IPPROTO_ICMP || packet[9] == IPPROTO_IGMP;
    return GW_STAT_NONE;
}

static enum gw_stat read6(const uint8_t *packet, size_t size, struct gw_inner *inner)
{
    const uint8_t *payload = packet + IPV6_HEADER;

    if (size < IPV6_HEADER || read16(packet + 4) + (size_t)IPV6_HEADER != size)
        return GW_STAT_rx_malformed;
    /* RFC 4942 section 2.2: mapped addresses never travel; here they would pass for the IPv4 address they hold. */
    if (is_mapped(packet + 8) || is_mapped(packet + 24))
        return GW_STAT_rx_malformed;
    if (packet[6] == IPPROTO_FRAGMENT) {
        if (size < IPV6_HEADER + IPV6_FRAGMENT)
            return GW_STAT_rx_malformed;
        if (fragment_hides_header(payload[0], read16(payload + 2) >> 3, payload[3] & 1, size - IPV6_HEADER - IPV6_FRAGMENT))
            return GW_STAT_rx_fragment;
    }
    memcpy(inner->source, packet + 8, 16);
    memcpy(inner->destination, packet + 24, 16);
    /* MLD (RFC 3810 section 5) travels behind a hop-by-hop header. */
    inner->control = packet[6] == IPPROTO_ICMPV6 ||
                     (packet[6] == IPPROTO_HOPOPTS && size > IPV6_HEADER && payload[0] == IPPROTO_ICMPV6);
    return GW_STAT_NONE;
}

enum gw_stat gw_inner_read(const uint8_t *packet, size_t size, struct gw_inner *inner)
{
    if (size && packet[0] >> 4 == 4)
        return read4(packet, size, inner);
    if (size && packet[0] >> 4 == 6)
        return read6(packet, size, inner);
    return GW_STAT_rx_malformed;
}

enum gw_stat gw_inner_check_source(const struct gw_inner *inner, const uint8_t own4[16], const uint8_t own6[16])
{
    static const uint8_t unspecified[16];

    if (memcmp(inner->source, unspecified, 16) == 0)
        return GW_STAT_rx_link_local;
    if (memcmp(inner->source, own4, 16) == 0 || memcmp(inner->source, own6, 16) == 0)
        return GW_STAT_NONE;
    if (inner->source[0] == 0xfe && (inner->source[1] & 0xc0) == 0x80)
        return GW_STAT_rx_link_local;
    return GW_STAT_rx_spoofed;
}
