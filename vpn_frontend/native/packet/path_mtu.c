/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "packet/path_mtu.h"

#include "tunnel/cstp_channel.h"
#include "packet/checksum.h"
#include "packet/inner_packet.h"
#include "tun/queue.h"

#include <netinet/in.h>

#define IPV4_HEADER 20u
#define IPV6_HEADER 40u
#define ICMP_HEADER 8u
#define DONT_FRAGMENT 0x4000u
#define MORE_FRAGMENTS 0x2000u
#define OFFSET 0x1fffu              /* in units of 8 bytes */
#define QUOTE4 548u                 /* of the packet, so that the message has 576 bytes (RFC 1812 section 4.3.2.3) */
#define QUOTE6 1232u                /* so that it has 1280 (RFC 4443 section 2.4) */
#define TTL 64

static uint16_t read16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static void write16(uint8_t *p, uint32_t value)
{
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

static void store_sum(uint8_t *at, uint64_t sum)
{
    uint16_t folded = (uint16_t)~gw_sum_fold(sum);

    memcpy(at, &folded, 2);
}

static bool may_tell(struct gw_worker *worker, struct gw_session *session)
{
    uint64_t second = worker->now / GW_SECOND;

    if (session->told_second != second) {
        session->told_second = second;
        session->told_too_big = 0;
    }
    return session->told_too_big++ < GW_TOO_BIG_RATE;
}

/* RFC 1122 section 3.2.2: no message about a message, a later fragment, or a packet of no single sender. */
static bool wants_message4(const uint8_t *packet, size_t header, size_t size)
{
    bool request = packet[9] != IPPROTO_ICMP || (size > header && (packet[header] == 8 || packet[header] == 0));

    return request && !(read16(packet + 6) & OFFSET) && packet[12] && packet[12] < 224;
}

static void tell4(struct gw_worker *worker, const uint8_t *packet, size_t size, uint32_t mtu)
{
    uint8_t message[IPV4_HEADER + ICMP_HEADER + QUOTE4] = { 0x45, [8] = TTL, [9] = IPPROTO_ICMP, [20] = 3, [21] = 4 };
    size_t quote = size < QUOTE4 ? size : QUOTE4, whole = IPV4_HEADER + ICMP_HEADER + quote;

    write16(message + 2, (uint32_t)whole);
    memcpy(message + 12, packet + 16, 4);   /* in the name of its destination: the way back to the sender is that of an answer */
    memcpy(message + 16, packet + 12, 4);
    write16(message + 26, mtu);
    memcpy(message + 28, packet, quote);
    store_sum(message + 10, gw_sum(0, message, IPV4_HEADER));
    store_sum(message + 22, gw_sum(0, message + IPV4_HEADER, ICMP_HEADER + quote));
    gw_tun_write(worker, message, whole);
}

/* RFC 4443 section 2.4: no message about an error, to nobody or to a group. */
static bool wants_message6(const uint8_t *packet, size_t size)
{
    static const uint8_t unspecified[16];
    bool error = packet[6] == IPPROTO_ICMPV6 && size > IPV6_HEADER && packet[IPV6_HEADER] < 128;

    return !error && packet[8] != 0xff && memcmp(packet + 8, unspecified, sizeof(unspecified));
}

static void tell6(struct gw_worker *worker, const uint8_t *packet, size_t size, uint32_t mtu)
{
    uint8_t message[IPV6_HEADER + ICMP_HEADER + QUOTE6] = { 0x60, [6] = IPPROTO_ICMPV6, [7] = TTL, [40] = 2 };
    size_t quote = size < QUOTE6 ? size : QUOTE6, body = ICMP_HEADER + quote;

    write16(message + 4, (uint32_t)body);
    memcpy(message + 8, packet + 24, 16);
    memcpy(message + 24, packet + 8, 16);
    write16(message + 46, mtu);
    memcpy(message + 48, packet, quote);
    store_sum(message + 42, gw_sum(gw_sum_pseudo(message + 8, 32, IPPROTO_ICMPV6, body), message + IPV6_HEADER, body));
    gw_tun_write(worker, message, IPV6_HEADER + body);
}

/* Packets with options are rare and each option has its own rule of copying: those are not split. */
static bool may_split(const uint8_t *packet, uint32_t mtu)
{
    return packet[0] == 0x45 && mtu >= IPV4_HEADER + 8 && !(read16(packet + 6) & DONT_FRAGMENT);
}

static void split(struct gw_worker *worker, struct gw_session *session, const uint8_t *packet, size_t size, bool control)
{
    uint8_t room[GW_HEADROOM + GW_CSTP_MAX_PAYLOAD], *fragment = room + GW_HEADROOM;
    size_t limit = session->mtu < GW_CSTP_MAX_PAYLOAD ? session->mtu : GW_CSTP_MAX_PAYLOAD;
    size_t step = (limit - IPV4_HEADER) & ~(size_t)7;
    uint32_t first = read16(packet + 6);

    for (size_t at = IPV4_HEADER; at < size; at += step) {
        size_t part = size - at < step ? size - at : step;
        uint32_t offset = (first & OFFSET) + (uint32_t)(at - IPV4_HEADER) / 8;
        uint32_t more = at + part < size ? MORE_FRAGMENTS : first & MORE_FRAGMENTS;

        memcpy(fragment, packet, IPV4_HEADER);
        write16(fragment + 2, (uint32_t)(IPV4_HEADER + part));
        write16(fragment + 6, more | (offset & OFFSET));
        memset(fragment + 10, 0, 2);
        store_sum(fragment + 10, gw_sum(0, fragment, IPV4_HEADER));
        memcpy(fragment + IPV4_HEADER, packet + at, part);
        gw_downlink_deliver(worker, session, fragment, IPV4_HEADER + part, control);
    }
}

bool gw_oversize_split(struct gw_worker *worker, struct gw_session *session, const uint8_t *packet, size_t size, bool control)
{
    if (!may_split(packet, session->mtu))
        return false;
    split(worker, session, packet, size, control);
    return true;
}

void gw_oversize_tell(struct gw_worker *worker, struct gw_session *session, const uint8_t *packet, size_t size)
{
    if (packet[0] >> 4 == 6) {
        if (wants_message6(packet, size) && may_tell(worker, session))
            tell6(worker, packet, size, session->mtu);
    } else if (wants_message4(packet, (size_t)(packet[0] & 15) * 4, size) && may_tell(worker, session)) {
        tell4(worker, packet, size, session->mtu);
    }
}
