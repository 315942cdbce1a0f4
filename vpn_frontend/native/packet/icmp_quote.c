/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "packet/icmp_quote.h"

#include "packet/address.h"
#include "packet/ip_header.h"
#include "wire.h"

#include <netinet/in.h>
#include <string.h>

#define QUOTED_TRANSPORT 8u         /* what every ICMP error quotes (RFC 792) */

static bool is_error(uint8_t protocol, uint8_t type)
{
    if (protocol == IPPROTO_ICMP)
        return type == 3 || type == 11 || type == 12;
    return protocol == IPPROTO_ICMPV6 && type >= 1 && type <= 4;
}

static bool read_quote4(const uint8_t *quote, size_t size, struct gw_inner *quoted, size_t *header)
{
    if (size < IPV4_HEADER || quote[0] >> 4 != 4)
        return false;
    *header = (size_t)(quote[0] & 15) * 4;
    gw_map_ipv4(quoted->source, quote + 12);
    gw_map_ipv4(quoted->destination, quote + 16);
    quoted->protocol = quote[9];
    return *header >= IPV4_HEADER && !(gw_read16(quote + 6) & IPV4_OFFSET);
}

static bool read_quote6(const uint8_t *quote, size_t size, struct gw_inner *quoted, size_t *header)
{
    if (size < IPV6_HEADER || quote[0] >> 4 != 6)
        return false;
    *header = IPV6_HEADER;
    memcpy(quoted->source, quote + 8, 16);
    memcpy(quoted->destination, quote + 24, 16);
    quoted->protocol = quote[6];
    return true;
}

bool gw_icmp_quote_read(const uint8_t *packet, size_t size, const struct gw_inner *inner, struct gw_inner *quoted)
{
    size_t at = inner->transport, header;
    bool read;

    if (!at || inner->fragment || size < at + ICMP_HEADER || !is_error(inner->protocol, packet[at]))
        return false;
    at += ICMP_HEADER;
    *quoted = (struct gw_inner){ 0 };
    read = inner->protocol == IPPROTO_ICMP ? read_quote4(packet + at, size - at, quoted, &header) :
                                             read_quote6(packet + at, size - at, quoted, &header);
    if (!read || size - at < header + QUOTED_TRANSPORT)
        return false;
    quoted->transport = (uint16_t)(at + header);
    return true;
}
