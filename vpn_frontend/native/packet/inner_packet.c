/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "packet/inner_packet.h"

#include "packet/address.h"
#include "packet/ip_header.h"
#include "wire.h"

#include <netinet/in.h>
#include <string.h>

#define FIRST_FRAGMENT_MIN 16u      /* RFC 1858 section 3.1: ports, sequence number and flags in the first fragment */
#define EXTENSION_HEADERS_MAX 8u    /* RFC 8200 section 4.1 lists seven occurrences; further ones hide a header from filters */
#define IPPROTO_HIP 139             /* RFC 7401 */
#define IPPROTO_SHIM6 140           /* RFC 5533 */

#define OPTION_END 0                /* RFC 791 section 3.1 */
#define OPTION_NOP 1
#define OPTION_LOOSE_ROUTE 131
#define OPTION_STRICT_ROUTE 137

/* Bytes of the transport header that a first fragment must have (RFC 1858, RFC 7112). */
static size_t first_fragment_min(uint8_t protocol)
{
    return protocol == IPPROTO_TCP ? TCP_HEADER : FIRST_FRAGMENT_MIN;
}

/* True if a filter could not read the transport header, or if a later fragment could overwrite it. `offset` is in bytes. */
static bool fragment_hides_header(uint8_t protocol, size_t offset, bool more, size_t payload)
{
    if (offset == 0)
        return more && payload < first_fragment_min(protocol);
    return protocol == IPPROTO_TCP && offset < TCP_HEADER;
}

/* Looks for options that choose the way of the packet, and past checks of its destination (RFC 7126 sections 4.3 and 4.4). */
static enum gw_inner_result read_options(const uint8_t *options, size_t size)
{
    for (size_t at = 0; at < size && options[at] != OPTION_END;) {
        if (options[at] == OPTION_NOP) {
            at++;
            continue;
        }
        if (options[at] == OPTION_LOOSE_ROUTE || options[at] == OPTION_STRICT_ROUTE)
            return GW_INNER_SOURCE_ROUTED;
        if (at + 1 >= size || options[at + 1] < 2)
            return GW_INNER_MALFORMED;
        at += options[at + 1];
    }
    return GW_INNER_OK;
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
    inner->protocol = packet[9];
    inner->transport = (uint16_t)header;
    fragment = gw_read16(packet + 6);
    inner->fragment = fragment & (IPV4_MORE_FRAGMENTS | IPV4_OFFSET);
    if (fragment_hides_header(packet[9], (size_t)(fragment & IPV4_OFFSET) * 8, fragment & IPV4_MORE_FRAGMENTS, size - header)) {
        inner->transport = 0;
        return GW_INNER_FRAGMENT;
    }
    if (header > IPV4_HEADER)
        return read_options(packet + IPV4_HEADER, header - IPV4_HEADER);
    return GW_INNER_OK;
}

static bool is_extension(uint8_t protocol)
{
    switch (protocol) {
    case IPPROTO_HOPOPTS:
    case IPPROTO_ROUTING:
    case IPPROTO_FRAGMENT:
    case IPPROTO_AH:
    case IPPROTO_DSTOPTS:
    case IPPROTO_MH:
    case IPPROTO_HIP:
    case IPPROTO_SHIM6:
        return true;
    default:
        return false;
    }
}

/* Bytes of the extension header at `at`, of which 2 are readable; not of a fragment header. */
static size_t extension_size(uint8_t protocol, const uint8_t *at)
{
    return protocol == IPPROTO_AH ? ((size_t)at[1] + 2) * 4 : ((size_t)at[1] + 1) * 8;
}

/* Walks the extension headers up to the transport header, or to the data of a later fragment. RFC 7112: all of them, and the
 * transport header, must be in the first fragment. */
static enum gw_inner_result walk_extensions(const uint8_t *packet, size_t size, struct gw_inner *inner)
{
    uint8_t protocol = packet[6];
    size_t at = IPV6_HEADER;
    bool fragmented = false;        /* the packet is a first fragment, and not the only one */
    bool seen_fragment = false;

    for (unsigned count = 0; is_extension(protocol); count++) {
        const uint8_t *header = packet + at;
        size_t length;

        if (count == EXTENSION_HEADERS_MAX || (protocol == IPPROTO_HOPOPTS && count))
            return GW_INNER_MALFORMED;      /* RFC 8200 section 4.3: hop-by-hop options are the first or nowhere */
        if (size - at < IPV6_FRAGMENT_HEADER)
            return fragmented ? GW_INNER_FRAGMENT : GW_INNER_MALFORMED;
        if (protocol == IPPROTO_FRAGMENT) {
            size_t offset = gw_read16(header + 2) & ~(size_t)7;

            if (seen_fragment)
                return GW_INNER_FRAGMENT;
            seen_fragment = true;
            fragmented = header[3] & 1;
            inner->fragment = (uint16_t)(offset / 8 | (fragmented ? IPV4_MORE_FRAGMENTS : 0));
            inner->fragment_id = gw_read32(header + 4);
            if (offset) {                   /* a second fragment at 8 overwrites what follows a first extension header */
                bool hides = is_extension(header[0]) ? offset < 2 * IPV6_FRAGMENT_HEADER :
                                                       fragment_hides_header(header[0], offset, fragmented, 0);

                inner->control = header[0] == IPPROTO_ICMPV6;
                inner->protocol = header[0];
                inner->transport = hides ? 0 : (uint16_t)(at + IPV6_FRAGMENT_HEADER);
                return hides ? GW_INNER_FRAGMENT : GW_INNER_OK;
            }
            length = IPV6_FRAGMENT_HEADER;
        } else {
            length = extension_size(protocol, header);
            if (protocol == IPPROTO_ROUTING && header[3])
                return GW_INNER_SOURCE_ROUTED;      /* segments left: the destination is not the last one (RFC 5095) */
        }
        if (length > size - at)
            return fragmented ? GW_INNER_FRAGMENT : GW_INNER_MALFORMED;
        protocol = header[0];
        at += length;
    }
    inner->control = protocol == IPPROTO_ICMPV6;    /* MLD has a hop-by-hop header (RFC 3810 section 5) */
    if (fragment_hides_header(protocol, 0, fragmented, size - at))
        return GW_INNER_FRAGMENT;
    inner->protocol = protocol;
    inner->transport = (uint16_t)at;
    return GW_INNER_OK;
}

static enum gw_inner_result read6(const uint8_t *packet, size_t size, struct gw_inner *inner)
{
    if (size < IPV6_HEADER || gw_read16(packet + 4) + (size_t)IPV6_HEADER != size)
        return GW_INNER_MALFORMED;
    /* RFC 4942 section 2.2: mapped addresses are never sent; here one would pass for the IPv4 address that it holds. */
    if (gw_is_mapped(packet + 8) || gw_is_mapped(packet + 24))
        return GW_INNER_MALFORMED;
    memcpy(inner->source, packet + 8, 16);
    memcpy(inner->destination, packet + 24, 16);
    inner->control = packet[6] == IPPROTO_ICMPV6;
    inner->protocol = packet[6];
    inner->fragment = 0;
    if (is_extension(packet[6])) {
        inner->transport = 0;
        return walk_extensions(packet, size, inner);
    }
    inner->transport = IPV6_HEADER;
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

static enum gw_inner_result check_destination4(uint32_t address, const struct gw_subnet4 *subnet)
{
    uint8_t first = (uint8_t)(address >> 24);

    if (address == INADDR_BROADCAST || first == 0)
        return GW_INNER_BROADCAST;
    if (first >= 224)               /* and the reserved class E (RFC 1112 section 4) */
        return GW_INNER_MULTICAST;
    if (first == IN_LOOPBACKNET)
        return GW_INNER_LOOPBACK;
    if (subnet->mask && (address == subnet->network || address == (subnet->network | ~subnet->mask)))
        return GW_INNER_BROADCAST;  /* some hosts take the network's own address for a broadcast (RFC 1122 section 3.3.6) */
    return GW_INNER_OK;
}

enum gw_inner_result gw_inner_check_destination(const struct gw_inner *inner, const struct gw_subnet4 *subnet)
{
    static const uint8_t loopback[16] = { [15] = 1 }, unspecified[16];
    const uint8_t *address = inner->destination;

    if (address[0] == 0) {
        if (gw_is_mapped(address))
            return check_destination4((uint32_t)gw_read16(address + 12) << 16 | gw_read16(address + 14), subnet);
        if (memcmp(address, loopback, 16) == 0 || memcmp(address, unspecified, 16) == 0)
            return GW_INNER_LOOPBACK;
    }
    if (address[0] == 0xff)
        return GW_INNER_MULTICAST;
    return gw_is_link_local(address) ? GW_INNER_LINK_LOCAL : GW_INNER_OK;
}
