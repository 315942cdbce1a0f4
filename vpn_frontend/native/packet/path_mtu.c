/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "packet/path_mtu.h"

#include "packet/checksum.h"
#include "packet/ip_header.h"
#include "wire.h"

#include <netinet/in.h>
#include <string.h>

#define QUOTE4 548u                 /* quoted bytes: the error then has 576 (RFC 1812 section 4.3.2.3) */
#define QUOTE6 1232u                /* quoted bytes: the error then has 1280 (RFC 4443 section 2.4) */
#define TTL 64

_Static_assert(IPV6_HEADER + ICMP_HEADER + QUOTE6 == GW_TOO_BIG_MAX, "the largest ICMP error");

bool gw_fragments_begin(struct gw_fragments *fragments, const uint8_t *packet, size_t size, size_t mtu)
{
    if (packet[0] != 0x45 || mtu < IPV4_HEADER + 8 || gw_read16(packet + 6) & IPV4_DONT_FRAGMENT)
        return false;
    *fragments = (struct gw_fragments){ packet, size, IPV4_HEADER, (mtu - IPV4_HEADER) & ~(size_t)7 };
    return true;
}

size_t gw_fragments_next(struct gw_fragments *fragments, uint8_t *out)
{
    size_t at = fragments->at, left = fragments->size - at;
    size_t part = left < fragments->step ? left : fragments->step;
    uint32_t first = gw_read16(fragments->packet + 6);
    uint32_t offset = (first & IPV4_OFFSET) + (uint32_t)(at - IPV4_HEADER) / 8;
    uint32_t more = part < left ? IPV4_MORE_FRAGMENTS : first & IPV4_MORE_FRAGMENTS;

    if (!part)
        return 0;
    memcpy(out, fragments->packet, IPV4_HEADER);
    gw_write16(out + 2, IPV4_HEADER + part);
    gw_write16(out + 6, more | (offset & IPV4_OFFSET));
    memset(out + 10, 0, 2);
    gw_sum_store(out + 10, gw_sum(0, out, IPV4_HEADER));
    memcpy(out + IPV4_HEADER, fragments->packet + at, part);
    fragments->at += part;
    return IPV4_HEADER + part;
}

/* RFC 1122 section 3.2.2: no error about an ICMP error, a later fragment, or a source that is not one host. */
static bool allowed4(const uint8_t *packet, size_t size)
{
    size_t header = (size_t)(packet[0] & 15) * 4;
    bool request = packet[9] != IPPROTO_ICMP || (size > header && (packet[header] == 8 || packet[header] == 0));

    return request && !(gw_read16(packet + 6) & IPV4_OFFSET) && packet[12] && packet[12] < 224;
}

/* RFC 4443 section 2.4: no error about an ICMP error, or to the unspecified or a multicast address. */
static bool allowed6(const uint8_t *packet, size_t size)
{
    static const uint8_t unspecified[16];
    bool error = packet[6] == IPPROTO_ICMPV6 && size > IPV6_HEADER && packet[IPV6_HEADER] < 128;

    return !error && packet[8] != 0xff && memcmp(packet + 8, unspecified, sizeof(unspecified));
}

bool gw_too_big_allowed(const uint8_t *packet, size_t size)
{
    return packet[0] >> 4 == 6 ? allowed6(packet, size) : allowed4(packet, size);
}

static size_t write4(const uint8_t *packet, size_t size, uint32_t mtu, uint8_t *out)
{
    static const uint8_t header[IPV4_HEADER + ICMP_HEADER] = { 0x45, [8] = TTL, [9] = IPPROTO_ICMP, [20] = 3, [21] = 4 };
    size_t quote = size < QUOTE4 ? size : QUOTE4;

    memcpy(out, header, sizeof(header));
    gw_write16(out + 2, sizeof(header) + quote);
    memcpy(out + 12, packet + 16, 4);   /* source = original destination, so the error is routed like a reply */
    memcpy(out + 16, packet + 12, 4);
    gw_write16(out + 26, mtu);
    memcpy(out + 28, packet, quote);
    gw_sum_store(out + 10, gw_sum(0, out, IPV4_HEADER));
    gw_sum_store(out + 22, gw_sum(0, out + IPV4_HEADER, ICMP_HEADER + quote));
    return sizeof(header) + quote;
}

static size_t write6(const uint8_t *packet, size_t size, uint32_t mtu, uint8_t *out)
{
    static const uint8_t header[IPV6_HEADER + ICMP_HEADER] = { 0x60, [6] = IPPROTO_ICMPV6, [7] = TTL, [40] = 2 };
    size_t quote = size < QUOTE6 ? size : QUOTE6, body = ICMP_HEADER + quote;

    memcpy(out, header, sizeof(header));
    gw_write16(out + 4, body);
    memcpy(out + 8, packet + 24, 16);
    memcpy(out + 24, packet + 8, 16);
    gw_write32(out + 44, mtu);
    memcpy(out + 48, packet, quote);
    gw_sum_store(out + 42, gw_sum(gw_sum_pseudo(out + 8, 32, IPPROTO_ICMPV6, body), out + IPV6_HEADER, body));
    return IPV6_HEADER + body;
}

size_t gw_too_big_write(const uint8_t *packet, size_t size, uint32_t mtu, uint8_t out[GW_TOO_BIG_MAX])
{
    return packet[0] >> 4 == 6 ? write6(packet, size, mtu, out) : write4(packet, size, mtu, out);
}
