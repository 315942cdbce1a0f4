/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Restrictions alone: ends of networks, chains of extension headers in front of the ports, fragments, and what cannot be read. Each
 * packet lies at the end of an allocation of its own, so that ASan sees a read past it.
 */
#include "limits/packet_filter.h"
#include "packet/address.h"
#include "packet/ip_header.h"
#include "wire.h"

#include <assert.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW UINT64_C(1000000000)

static const struct gw_port_range https = { 443, 443, IPPROTO_TCP }, smtp = { 25, 25, IPPROTO_TCP };
static struct gw_filter_state state;

static gw_restriction *make(const struct gw_address_range *networks, uint32_t count, const struct gw_port_range *ports, uint32_t rule)
{
    const struct gw_restriction_config config = {
        .networks = networks, .network_count = count, .by_network = networks != NULL,
        .ports = ports, .port_count = ports != NULL, .port_rule = rule,
    };

    return gw_restriction_new(&config);
}

static enum gw_refusal check_at(const gw_restriction *restriction, enum gw_direction direction, const uint8_t *packet, size_t size,
                                uint64_t now)
{
    uint8_t *copy = malloc(size);
    struct gw_inner inner;
    enum gw_inner_result result;
    enum gw_refusal refusal;

    assert(copy);
    memcpy(copy, packet, size);
    result = gw_inner_read(copy, size, &inner);
    assert(result != GW_INNER_MALFORMED);
    memset(state.permitted, 0, sizeof(state.permitted));    /* of another restriction, perhaps */
    refusal = gw_filter_check(restriction, &state, direction, copy, size, &inner, now);
    assert(gw_filter_check(restriction, &state, direction, copy, size, &inner, now) == refusal);
    free(copy);
    return refusal;
}

static enum gw_refusal check(const gw_restriction *restriction, enum gw_direction direction, const uint8_t *packet, size_t size)
{
    return check_at(restriction, direction, packet, size, NOW);
}

static void forget_fragments(void)
{
    free(state.fragments);
    memset(&state, 0, sizeof(state));
}

/* A packet of 32 bytes of transport for 10.0.0.`host`. */
static size_t write4(uint8_t *packet, uint32_t destination, uint8_t protocol, uint16_t fragment)
{
    memset(packet, 0, IPV4_HEADER + 32);
    packet[0] = 0x45;
    gw_write16(packet + 2, IPV4_HEADER + 32);
    gw_write16(packet + 4, 77);
    gw_write16(packet + 6, fragment);
    packet[9] = protocol;
    gw_write32(packet + 12, 0xc0a86307);
    gw_write32(packet + 16, destination);
    return IPV4_HEADER + 32;
}

/* Writes an IPv6 packet whose headers are `chain`, the last one the transport header for `port`. Returns its size. */
static size_t write6(uint8_t *packet, const uint8_t *chain, unsigned count, uint16_t port, uint16_t fragment)
{
    size_t at = IPV6_HEADER;

    memset(packet, 0, 512);
    packet[0] = 0x60;
    packet[6] = chain[0];
    packet[8] = packet[24] = 0xfd;
    for (unsigned i = 0; i + 1 < count; i++) {
        packet[at] = chain[i + 1];
        if (chain[i] == IPPROTO_AH)
            packet[at + 1] = 4;     /* 24 bytes */
        if (chain[i] == IPPROTO_FRAGMENT) {
            gw_write16(packet + at + 2, fragment);
            gw_write32(packet + at + 4, 99);
        }
        at += chain[i] == IPPROTO_AH ? 24 : 8;
    }
    gw_write16(packet + at + 2, port);
    packet[at + TCP_FLAGS] = TCP_ACK;
    at += 32;
    gw_write16(packet + 4, at - IPV6_HEADER);
    return at;
}

static void test_prefixes_of_every_length(void)
{
    for (unsigned length = 0; length <= 32; length++) {
        uint32_t mask = length ? UINT32_MAX << (32 - length) : 0, first = 0x0a4d3c2b & mask, last = first | ~mask;
        struct gw_address_range range;
        uint8_t packet[64], bytes[4];
        gw_restriction *restriction;

        gw_write32(bytes, first);
        gw_map_ipv4(range.first, bytes);
        gw_write32(bytes, last);
        gw_map_ipv4(range.last, bytes);
        restriction = make(&range, 1, NULL, GW_PORTS_ANY);
        assert(restriction);
        assert(check(restriction, GW_FROM_CLIENT, packet, write4(packet, first, IPPROTO_UDP, 0)) == GW_PERMITTED);
        assert(check(restriction, GW_FROM_CLIENT, packet, write4(packet, last, IPPROTO_UDP, 0)) == GW_PERMITTED);
        if (length) {
            assert(check(restriction, GW_FROM_CLIENT, packet, write4(packet, first - 1, IPPROTO_UDP, 0)) == GW_REFUSED_ROUTE);
            assert(check(restriction, GW_FROM_CLIENT, packet, write4(packet, last + 1, IPPROTO_UDP, 0)) == GW_REFUSED_ROUTE);
        }
        gw_restriction_release(restriction);
    }
}

static void test_one_ipv6_address_and_all(void)
{
    static const uint8_t chain[] = { IPPROTO_UDP };
    struct gw_address_range range = { { 0xfd }, { 0xfd } };
    uint8_t packet[512];
    size_t size = write6(packet, chain, 1, 443, 0);
    gw_restriction *restriction = make(&range, 1, NULL, GW_PORTS_ANY);

    assert(check(restriction, GW_FROM_CLIENT, packet, size) == GW_PERMITTED);
    packet[39] = 1;
    assert(check(restriction, GW_FROM_CLIENT, packet, size) == GW_REFUSED_ROUTE);
    gw_restriction_release(restriction);
    range.first[15] = 2;
    range.last[15] = 3;
    restriction = make(&range, 1, NULL, GW_PORTS_ANY);
    for (uint8_t last = 1; last <= 4; last++) {
        packet[39] = last;
        assert(check(restriction, GW_FROM_CLIENT, packet, size) == (last == 2 || last == 3 ? GW_PERMITTED : GW_REFUSED_ROUTE));
    }
    gw_restriction_release(restriction);
    memset(range.first, 0, 16);
    memset(range.last, 0xff, 16);
    restriction = make(&range, 1, NULL, GW_PORTS_ANY);
    assert(check(restriction, GW_FROM_CLIENT, packet, size) == GW_PERMITTED);
    size = write4(packet, 1, IPPROTO_UDP, 0);       /* ::/0 holds no IPv4 address, in mapped form or not */
    assert(check(restriction, GW_FROM_CLIENT, packet, size) == GW_REFUSED_ROUTE);
    gw_restriction_release(restriction);
}

static void test_lists_that_are_refused(void)
{
    static const struct gw_port_range backwards = { 5, 4, IPPROTO_TCP };
    static const uint8_t a[4] = { 10, 0, 0, 1 }, b[4] = { 10, 0, 0, 9 };
    struct gw_address_range ranges[2] = { 0 };
    gw_restriction *restriction;

    assert(!make(NULL, 0, &backwards, GW_PORTS_ONLY));
    assert(!make(NULL, 0, &https, GW_PORTS_EXCEPT + 1));
    gw_map_ipv4(ranges[0].first, b);
    gw_map_ipv4(ranges[0].last, a);
    assert(!make(ranges, 1, NULL, GW_PORTS_ANY));   /* ends before it begins */
    memset(ranges[0].last, 0xff, 16);
    assert(!make(ranges, 1, NULL, GW_PORTS_ANY));   /* of two families */
    gw_map_ipv4(ranges[0].last, b);
    ranges[1] = ranges[0];
    assert(!make(ranges, 2, NULL, GW_PORTS_ANY));   /* not disjoint */
    memset(&ranges[1], 0, sizeof(ranges[1]));
    restriction = make(ranges, 2, NULL, GW_PORTS_ANY);
    assert(restriction);                            /* IPv4, then IPv6 */
    gw_restriction_release(restriction);
    ranges[1] = ranges[0];
    memset(&ranges[0], 0, sizeof(ranges[0]));
    assert(!make(ranges, 2, NULL, GW_PORTS_ANY));   /* IPv6, then IPv4 */
}

/* Every chain of up to three extension headers in front of TCP: the port behind it decides. */
static void test_ports_behind_extension_headers(void)
{
    static const uint8_t kinds[] = { IPPROTO_HOPOPTS, IPPROTO_ROUTING, IPPROTO_FRAGMENT, IPPROTO_AH, IPPROTO_DSTOPTS, IPPROTO_MH };
    gw_restriction *only = make(NULL, 0, &https, GW_PORTS_ONLY), *except = make(NULL, 0, &smtp, GW_PORTS_EXCEPT);
    unsigned passed = 0;

    for (unsigned count = 0; count <= 3; count++)
        for (unsigned code = 0; code < 216; code++) {
            uint8_t chain[4] = { kinds[code % 6], kinds[code / 6 % 6], kinds[code / 36] }, packet[512];
            struct gw_inner inner;
            size_t size;

            chain[count] = IPPROTO_TCP;
            size = write6(packet, chain, count + 1, 25, 0);
            if (gw_inner_read(packet, size, &inner) != GW_INNER_OK)
                continue;
            assert(check(only, GW_FROM_CLIENT, packet, size) == GW_REFUSED_PORT);
            assert(check(except, GW_FROM_CLIENT, packet, size) == GW_REFUSED_PORT);
            size = write6(packet, chain, count + 1, 443, 0);
            assert(check(only, GW_FROM_CLIENT, packet, size) == GW_PERMITTED);
            assert(check(except, GW_FROM_CLIENT, packet, size) == GW_PERMITTED);
            passed++;
        }
    assert(passed > 200);
    gw_restriction_release(only);
    gw_restriction_release(except);
}

static void test_headers_that_end_a_chain(void)
{
    static const uint8_t ends[] = { IPPROTO_ESP, IPPROTO_NONE, IPPROTO_IPV6, IPPROTO_GRE, 253 };
    gw_restriction *only = make(NULL, 0, &https, GW_PORTS_ONLY), *except = make(NULL, 0, &smtp, GW_PORTS_EXCEPT);

    for (unsigned i = 0; i < sizeof(ends); i++) {
        uint8_t chain[] = { IPPROTO_HOPOPTS, IPPROTO_AH, ends[i] }, packet[512];
        size_t size = write6(packet, chain, 3, 443, 0);

        assert(check(only, GW_FROM_CLIENT, packet, size) == GW_REFUSED_PORT);
        assert(check(except, GW_FROM_CLIENT, packet, size) == GW_PERMITTED);
    }
    gw_restriction_release(only);
    gw_restriction_release(except);
}

/* A jumbogram has the length 0 (RFC 2675): it is malformed here, since no packet of the TUN device can be one. */
static void test_a_jumbogram_is_malformed(void)
{
    static const uint8_t chain[] = { IPPROTO_HOPOPTS, IPPROTO_TCP };
    uint8_t packet[512];
    struct gw_inner inner;
    size_t size = write6(packet, chain, 2, 443, 0);

    packet[IPV6_HEADER + 2] = 0xc2;
    packet[IPV6_HEADER + 3] = 4;
    gw_write32(packet + IPV6_HEADER + 4, (uint32_t)size - IPV6_HEADER);
    gw_write16(packet + 4, 0);
    assert(gw_inner_read(packet, size, &inner) == GW_INNER_MALFORMED);
}

static void test_fragments_of_ipv6(void)
{
    static const uint8_t chain[] = { IPPROTO_FRAGMENT, IPPROTO_DSTOPTS, IPPROTO_TCP };
    gw_restriction *only = make(NULL, 0, &https, GW_PORTS_ONLY);
    uint8_t packet[512];
    size_t size = write6(packet, chain, 3, 443, 80 << 3 | 1);

    assert(check(only, GW_FROM_CLIENT, packet, size) == GW_REFUSED_FRAGMENT);
    size = write6(packet, chain, 3, 443, 1);
    assert(check(only, GW_FROM_CLIENT, packet, size) == GW_PERMITTED);
    size = write6(packet, chain, 3, 25, 80 << 3);
    assert(check(only, GW_FROM_CLIENT, packet, size) == GW_PERMITTED);
    packet[IPV6_HEADER] = IPPROTO_UDP;              /* the first fragment's next header counts (RFC 8200 section 4.5) */
    assert(check(only, GW_FROM_CLIENT, packet, size) == GW_PERMITTED);
    packet[IPV6_HEADER + 7] ^= 1;                   /* another packet */
    assert(check(only, GW_FROM_CLIENT, packet, size) == GW_REFUSED_FRAGMENT);
    packet[IPV6_HEADER + 7] ^= 1;
    assert(check_at(only, GW_FROM_CLIENT, packet, size, NOW + GW_FRAGMENT_LIFE) == GW_REFUSED_FRAGMENT);
    forget_fragments();
    gw_restriction_release(only);
}

/* A second first fragment overlaps the one that passed: it is checked like any other. At 8 it would overwrite the TCP flags. */
static void test_fragments_that_overlap(void)
{
    gw_restriction *only = make(NULL, 0, &https, GW_PORTS_ONLY);
    uint8_t packet[64];
    size_t size = write4(packet, 1, IPPROTO_TCP, IPV4_MORE_FRAGMENTS);

    gw_write16(packet + IPV4_HEADER + 2, 443);
    assert(check(only, GW_FROM_CLIENT, packet, size) == GW_PERMITTED);
    gw_write16(packet + IPV4_HEADER + 2, 25);
    assert(check(only, GW_FROM_CLIENT, packet, size) == GW_REFUSED_PORT);
    size = write4(packet, 1, IPPROTO_TCP, 1);
    assert(check(only, GW_FROM_CLIENT, packet, size) == GW_REFUSED_PORT);
    size = write4(packet, 1, IPPROTO_TCP, 4);
    assert(check(only, GW_FROM_CLIENT, packet, size) == GW_PERMITTED);
    packet[9] = IPPROTO_UDP;                        /* of another protocol: another packet */
    assert(check(only, GW_FROM_CLIENT, packet, size) == GW_REFUSED_FRAGMENT);
    forget_fragments();
    gw_restriction_release(only);
}

/* To the client, where fragments that hide their header are not dropped anyway. */
static void test_tiny_first_fragments(void)
{
    gw_restriction *except = make(NULL, 0, &smtp, GW_PORTS_EXCEPT);
    uint8_t packet[64];

    write4(packet, 1, IPPROTO_TCP, IPV4_MORE_FRAGMENTS);
    gw_write16(packet + 2, IPV4_HEADER + 8);
    assert(check(except, GW_TO_CLIENT, packet, IPV4_HEADER + 8) == GW_REFUSED_PORT);
    assert(!state.fragments);
    gw_restriction_release(except);
}

static void test_the_table_of_fragments_is_bounded(void)
{
    gw_restriction *only = make(NULL, 0, &https, GW_PORTS_ONLY);
    uint8_t packet[64];
    size_t size = 0;

    for (uint16_t id = 0; id <= GW_FRAGMENT_ENTRIES; id++) {
        size = write4(packet, 1, IPPROTO_TCP, IPV4_MORE_FRAGMENTS);
        gw_write16(packet + 4, id);
        gw_write16(packet + IPV4_HEADER + 2, 443);
        assert(check(only, GW_FROM_CLIENT, packet, size) == GW_PERMITTED);
        assert(check(only, GW_FROM_CLIENT, packet, size) == GW_PERMITTED);   /* a duplicate takes no second place */
    }
    for (uint16_t id = 0; id <= GW_FRAGMENT_ENTRIES; id++) {
        size = write4(packet, 1, IPPROTO_TCP, 4);
        gw_write16(packet + 4, id);
        assert(check(only, GW_FROM_CLIENT, packet, size) == (id ? GW_PERMITTED : GW_REFUSED_FRAGMENT));
    }
    forget_fragments();
    gw_restriction_release(only);
}

/* What passed last is remembered with all that its verdict depends on. */
static void test_a_permitted_flow_permits_no_other(void)
{
    static const uint8_t sides[] = { 16, 22, 9, IPV4_HEADER + TCP_FLAGS };   /* the peer's address and port, protocol, flags */
    static const uint8_t values[] = { 11, 26, IPPROTO_UDP, TCP_SYN };
    struct gw_address_range range;
    const uint8_t ipv4[4] = { 10, 0, 0, 1 };
    gw_restriction *restriction;
    uint8_t packet[64];

    gw_map_ipv4(range.first, ipv4);
    memcpy(range.last, range.first, 16);
    restriction = make(&range, 1, &https, GW_PORTS_ONLY);
    for (unsigned i = 0; i < sizeof(sides); i++) {
        enum gw_direction direction = sides[i] == IPV4_HEADER + TCP_FLAGS ? GW_TO_CLIENT : GW_FROM_CLIENT;
        size_t size = write4(packet, 0x0a000001, IPPROTO_TCP, 0);
        struct gw_inner inner;

        gw_write32(packet + 12, 0x0a000001);        /* both ends, so that the packet serves in both directions */
        gw_write16(packet + IPV4_HEADER, 443);
        gw_write16(packet + IPV4_HEADER + 2, 443);
        assert(gw_inner_read(packet, size, &inner) == GW_INNER_OK);
        assert(gw_filter_check(restriction, &state, direction, packet, size, &inner, NOW) == GW_PERMITTED);
        packet[sides[i]] = values[i];
        assert(gw_inner_read(packet, size, &inner) == GW_INNER_OK);
        assert(gw_filter_check(restriction, &state, direction, packet, size, &inner, NOW) != GW_PERMITTED);
    }
    gw_restriction_release(restriction);
}

int main(void)
{
    test_prefixes_of_every_length();
    test_one_ipv6_address_and_all();
    test_lists_that_are_refused();
    test_ports_behind_extension_headers();
    test_headers_that_end_a_chain();
    test_a_jumbogram_is_malformed();
    test_fragments_of_ipv6();
    test_fragments_that_overlap();
    test_tiny_first_fragments();
    test_the_table_of_fragments_is_bounded();
    test_a_permitted_flow_permits_no_other();
    puts("ok");
    return 0;
}
