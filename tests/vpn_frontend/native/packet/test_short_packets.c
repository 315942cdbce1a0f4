/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Functions that read packets by offsets: quotes of ICMP errors, too large packets, what a TUN queue with offloads delivers, options
 * of acknowledgements. Every packet is cut at every byte, at the end of an allocation of its own, so that ASan sees a read past it.
 */
#include "packet/ack_filter.h"
#include "packet/gso.h"
#include "packet/icmp_quote.h"
#include "packet/ip_header.h"
#include "packet/path_mtu.h"
#include "wire.h"

#include <assert.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUOTED 8u                   /* bytes of a transport header that a quote has */

static uint8_t *copy_of(const uint8_t *packet, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);

    assert(copy);
    memcpy(copy, packet, size);
    return copy;
}

/* An ICMP error of `type`, and the packet that it quotes from byte `quote` on. Returns the size. */
static size_t write_error(uint8_t packet[128], bool ipv6, uint8_t type)
{
    size_t header = ipv6 ? IPV6_HEADER : IPV4_HEADER, quote = header + ICMP_HEADER;

    memset(packet, 0, 128);
    packet[0] = packet[quote] = ipv6 ? 0x60 : 0x45;
    packet[ipv6 ? 6 : 9] = ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
    packet[quote + (ipv6 ? 6 : 9)] = IPPROTO_UDP;
    packet[header] = type;
    return quote + header + QUOTED;
}

static bool quotes(const uint8_t *packet, size_t size, bool ipv6, uint16_t fragment, size_t *transport)
{
    struct gw_inner inner = { .protocol = ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP, .transport = ipv6 ? IPV6_HEADER : IPV4_HEADER,
                              .fragment = fragment };
    struct gw_inner quoted = { 0 };
    uint8_t *copy = copy_of(packet, size);
    bool read = gw_icmp_quote_read(copy, size, &inner, &quoted);

    free(copy);
    *transport = quoted.transport;
    return read;
}

static void test_quotes(bool ipv6)
{
    uint8_t packet[128];
    size_t whole = write_error(packet, ipv6, 3), transport, quote = (ipv6 ? IPV6_HEADER : IPV4_HEADER) + ICMP_HEADER;

    for (size_t size = quote - ICMP_HEADER; size <= whole; size++)
        assert(quotes(packet, size, ipv6, 0, &transport) == (size == whole));
    assert(transport == whole - QUOTED);
    assert(!quotes(packet, whole, ipv6, IPV4_MORE_FRAGMENTS, &transport));
    for (unsigned type = 0; type < 256; type++) {
        write_error(packet, ipv6, (uint8_t)type);
        assert(quotes(packet, whole, ipv6, 0, &transport) ==
               (ipv6 ? type >= 1 && type <= 4 : type == 3 || type == 11 || type == 12));
    }
    write_error(packet, ipv6, 3);
    packet[quote] = ipv6 ? 0x45 : 0x60;         /* of the other family */
    assert(!quotes(packet, whole, ipv6, 0, &transport));
}

static void test_quotes_that_name_no_transport(void)
{
    uint8_t packet[128];
    size_t whole = write_error(packet, false, 3), transport, quote = IPV4_HEADER + ICMP_HEADER;

    packet[quote] = 0x44;                       /* a header below 20 bytes */
    assert(!quotes(packet, whole, false, 0, &transport));
    packet[quote] = 0x4f;                       /* options beyond the end */
    assert(!quotes(packet, whole, false, 0, &transport));
    packet[quote] = 0x45;
    packet[quote + 7] = 1;                      /* a later fragment */
    assert(!quotes(packet, whole, false, 0, &transport));
}

static bool may_be_told(const uint8_t *packet, size_t size)
{
    uint8_t *copy = copy_of(packet, size);
    bool allowed = gw_too_big_allowed(copy, size);

    free(copy);
    return allowed;
}

/* RFC 1122 section 3.2.2 and RFC 4443 section 2.4: no error about an error. One that is cut before its type may be one. */
static void test_errors_about_errors(void)
{
    uint8_t v4[IPV4_HEADER + 1] = { 0x45, [9] = IPPROTO_ICMP, [12] = 10 }, v6[IPV6_HEADER + 1] = { 0x60, [6] = IPPROTO_ICMPV6, [8] = 0xfd };

    for (unsigned type = 0; type < 256; type++) {
        v4[IPV4_HEADER] = v6[IPV6_HEADER] = (uint8_t)type;
        assert(may_be_told(v4, sizeof(v4)) == (type == 0 || type == 8));
        assert(may_be_told(v6, sizeof(v6)) == (type >= 128));
    }
    assert(!may_be_told(v4, IPV4_HEADER));
    v4[12] = 0;
    v4[IPV4_HEADER] = 8;
    assert(!may_be_told(v4, sizeof(v4)));       /* of no host */
    v6[8] = 0;
    assert(!may_be_told(v6, sizeof(v6)));
    v6[8] = 0xff;
    assert(!may_be_told(v6, sizeof(v6)));
}

static void test_what_is_not_fragmented(void)
{
    uint8_t packet[64] = { 0x45, [12] = 10 };
    struct gw_fragments fragments;

    assert(gw_fragments_begin(&fragments, packet, sizeof(packet), IPV4_HEADER + 8));
    assert(!gw_fragments_begin(&fragments, packet, sizeof(packet), IPV4_HEADER + 7));
    packet[6] = 0x40;
    assert(!gw_fragments_begin(&fragments, packet, sizeof(packet), 40));
    packet[0] = 0x46;
    packet[6] = 0;
    assert(!gw_fragments_begin(&fragments, packet, sizeof(packet), 40));
}

/* What is split has all of its payload; nothing is read or written beyond. */
static void test_large_packets(bool ipv6, bool udp)
{
    const uint8_t tcp_type = ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
    size_t transport = ipv6 ? IPV6_HEADER : IPV4_HEADER, headers = transport + (udp ? UDP_HEADER : TCP_HEADER);
    struct virtio_net_hdr header = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = udp ? VIRTIO_NET_HDR_GSO_UDP_L4 : tcp_type,
                                     .gso_size = 7, .csum_start = (uint16_t)transport, .csum_offset = udp ? 6 : 16 };
    uint8_t packet[128] = { ipv6 ? 0x60 : 0x45, [32] = 0x50, [52] = 0x50 };

    for (size_t size = 0; size <= sizeof(packet); size++) {
        uint8_t *copy = copy_of(packet, size), out[128];
        size_t part, payload = 0;
        struct gw_gso gso;

        if (gw_gso_begin(&gso, &header, copy, size) == 0) {
            assert(size > headers && gw_gso_next(&gso, out, headers + 6) == (size - headers < 7 ? size : 0));
            assert(gw_gso_begin(&gso, &header, copy, size) == 0);
            while ((part = gw_gso_next(&gso, out, headers + 7)))
                payload += part - headers;
            assert(payload == size - headers);
        } else {
            assert(size <= headers);
        }
        free(copy);
    }
    if (!udp) {
        struct gw_gso gso;

        packet[transport + 12] = 0x40;          /* a header below 20 bytes */
        assert(gw_gso_begin(&gso, &header, packet, sizeof(packet)));
        packet[transport + 12] = 0xf0;
        assert(gw_gso_begin(&gso, &header, packet, headers + 40));
    }
}

static void test_checksums_are_written_inside_the_packet(void)
{
    const uint8_t packet[40] = { 0x45 };

    for (unsigned start = 0; start < 44; start++)
        for (unsigned offset = 0; offset < 44; offset++) {
            const struct virtio_net_hdr header = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = (uint16_t)start,
                                                   .csum_offset = (uint16_t)offset };
            uint8_t *copy = copy_of(packet, sizeof(packet));

            assert((gw_checksum_complete(&header, copy, sizeof(packet)) == 0) == (start < 40 && start + offset + 2 <= 40));
            free(copy);
        }
}

/* RFC 768: a sum of zero is sent as ones. The pseudo header's sum and the payload make it zero here. */
static void test_a_sum_of_zero_means_none(void)
{
    const struct virtio_net_hdr header = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_offset = 6 };
    uint8_t packet[8] = { 0xff, 0xff };

    assert(gw_checksum_complete(&header, packet, sizeof(packet)) == 0);
    assert(packet[6] == 0xff && packet[7] == 0xff);
}

/* Reads options, of which the header says nothing, at the end of an allocation. */
static bool acknowledges(const uint8_t *options, size_t size, struct gw_ack *ack)
{
    uint8_t header[TCP_HEADER + 40] = { [12] = 0xf0, [13] = 0x10 }, *copy;
    bool read;

    memcpy(header + TCP_HEADER, options, size);
    copy = copy_of(header, TCP_HEADER + size);
    read = gw_ack_read(copy, TCP_HEADER + size, ack);
    free(copy);
    return read;
}

static void test_options_of_acknowledgements(void)
{
    static const uint8_t both[38] = { 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1, 5, 26, 1 };
    static const uint8_t twice[20] = { 8, 10, [10] = 8, 10 }, blocks_twice[20] = { 5, 10, [10] = 5, 10 };
    static const uint8_t odd_blocks[11] = { 5, 11 }, no_block[2] = { 5, 2 }, odd_stamps[9] = { 8, 9 };
    static const uint8_t end[4] = { 0 }, unknown[4] = { 30, 4 }, cut[1] = { 8 }, empty[2] = { 8, 0 };
    static const uint8_t five_blocks[40] = { 5, 40 }, four_blocks[34] = { 5, 34 };
    struct gw_ack ack;

    for (size_t size = 0; size <= sizeof(both); size++)
        assert(acknowledges(both, size, &ack) == (size == 0 || (size >= 10 && size <= 12) || size == sizeof(both)));
    assert(ack.stamped && ack.block_count == 3);
    assert(acknowledges(four_blocks, sizeof(four_blocks), &ack) && ack.block_count == GW_ACK_BLOCKS);
    assert(!acknowledges(twice, sizeof(twice), &ack) && !acknowledges(blocks_twice, sizeof(blocks_twice), &ack));
    assert(!acknowledges(odd_blocks, sizeof(odd_blocks), &ack) && !acknowledges(no_block, sizeof(no_block), &ack));
    assert(!acknowledges(odd_stamps, sizeof(odd_stamps), &ack) && !acknowledges(end, sizeof(end), &ack));
    assert(!acknowledges(unknown, sizeof(unknown), &ack) && !acknowledges(cut, sizeof(cut), &ack));
    assert(!acknowledges(empty, sizeof(empty), &ack) && !acknowledges(five_blocks, sizeof(five_blocks), &ack));
}

static void test_headers_that_do_more_than_acknowledge(void)
{
    struct gw_ack ack;

    for (size_t at = 12; at < TCP_HEADER; at++)
        for (unsigned bit = 0; bit < 8; bit++) {
            uint8_t header[TCP_HEADER] = { [12] = 0x50, [13] = 0x10 };
            bool told = (at == 12 && bit < 4) || at == 13 || at >= 18;  /* reserved, flags, urgent pointer */

            header[at] ^= (uint8_t)(1u << bit);
            assert(gw_ack_read(header, sizeof(header), &ack) == !told);
        }
}

int main(void)
{
    for (int kind = 0; kind < 4; kind++) {
        test_quotes(kind & 1);
        test_large_packets(kind & 1, kind & 2);
    }
    test_quotes_that_name_no_transport();
    test_errors_about_errors();
    test_what_is_not_fragmented();
    test_checksums_are_written_inside_the_packet();
    test_a_sum_of_zero_means_none();
    test_options_of_acknowledgements();
    test_headers_that_do_more_than_acknowledge();
    puts("ok");
    return 0;
}
