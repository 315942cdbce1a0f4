/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The walk over extension headers: every chain of up to three headers of every kind and length, cut at every byte. Each packet lies
 * at the end of an allocation of its own, so that ASan sees a read past it. What passes shows its transport header.
 */
#include "packet/inner_packet.h"
#include "packet/ip_header.h"

#include <assert.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAYLOAD 24u

static const uint8_t kinds[] = { IPPROTO_HOPOPTS, IPPROTO_ROUTING, IPPROTO_FRAGMENT, IPPROTO_AH, IPPROTO_DSTOPTS, IPPROTO_MH };
static unsigned passed;

static enum gw_inner_result read_copy(const uint8_t *packet, size_t size, struct gw_inner *inner)
{
    uint8_t *copy = malloc(size);
    enum gw_inner_result result;

    assert(copy);
    memcpy(copy, packet, size);
    result = gw_inner_read(copy, size, inner);
    free(copy);
    return result;
}

/* Appends a header of `kind`. Returns the new size. */
static size_t append(uint8_t *packet, size_t at, uint8_t kind, bool more)
{
    memset(packet + at, 0, 8);
    if (kind == IPPROTO_FRAGMENT)
        packet[at + 3] = more;
    return at + 8;
}

static void try_chain(const unsigned *chain, unsigned count, bool more)
{
    uint8_t packet[128] = { 0x60 };
    struct gw_inner inner;
    size_t at = IPV6_HEADER;
    unsigned fragments = 0;

    packet[8] = packet[24] = 0xfd;
    packet[6] = count ? kinds[chain[0]] : IPPROTO_TCP;
    for (unsigned i = 0; i < count; i++) {
        size_t header = at;

        at = append(packet, at, kinds[chain[i]], more);
        packet[header] = i + 1 < count ? kinds[chain[i + 1]] : IPPROTO_TCP;
        fragments += kinds[chain[i]] == IPPROTO_FRAGMENT;
    }
    for (size_t size = IPV6_HEADER; size <= at + PAYLOAD; size++) {
        enum gw_inner_result result;

        packet[5] = (uint8_t)(size - IPV6_HEADER);
        result = read_copy(packet, size, &inner);
        passed += result == GW_INNER_OK;
        assert(result != GW_INNER_OK || size >= at);
        assert(result != GW_INNER_OK || (inner.protocol == IPPROTO_TCP && inner.transport == at));
        assert(result != GW_INNER_OK || inner.fragment == (fragments && more ? IPV4_MORE_FRAGMENTS : 0));
        assert(result != GW_INNER_OK || fragments < 2);
        if (fragments && more)
            assert(result != GW_INNER_OK || size >= at + TCP_HEADER);
    }
}

static void test_every_chain_cut_everywhere(void)
{
    unsigned chain[3];

    for (unsigned count = 0; count <= 3; count++)
        for (unsigned code = 0; code < 216; code++) {
            chain[0] = code % 6;
            chain[1] = code / 6 % 6;
            chain[2] = code / 36;
            try_chain(chain, count, false);
            try_chain(chain, count, true);
        }
    assert(passed);
}

static void test_the_walk_is_bounded(void)
{
    static uint8_t packet[65535] = { 0x60 };
    struct gw_inner inner;
    size_t size = sizeof(packet) / 8 * 8;

    packet[4] = (uint8_t)((size - IPV6_HEADER) >> 8);
    packet[5] = (uint8_t)(size - IPV6_HEADER);
    packet[6] = IPPROTO_DSTOPTS;
    packet[8] = packet[24] = 0xfd;
    for (size_t at = IPV6_HEADER; at < size; at += 8)
        packet[at] = IPPROTO_DSTOPTS;
    assert(read_copy(packet, size, &inner) == GW_INNER_MALFORMED);
    packet[IPV6_HEADER + 7 * 8] = IPPROTO_TCP;      /* the eighth is the last */
    assert(read_copy(packet, size, &inner) == GW_INNER_OK);
}

static void test_control_is_told_behind_headers(void)
{
    uint8_t packet[IPV6_HEADER + 24] = { 0x60, [5] = 24, [6] = IPPROTO_HOPOPTS, [8] = 0xfd, [24] = 0xfd };
    struct gw_inner inner;

    packet[IPV6_HEADER] = IPPROTO_DSTOPTS;
    packet[IPV6_HEADER + 8] = IPPROTO_ICMPV6;
    assert(read_copy(packet, sizeof(packet), &inner) == GW_INNER_OK && inner.control);
    packet[IPV6_HEADER + 8] = IPPROTO_UDP;
    assert(read_copy(packet, sizeof(packet), &inner) == GW_INNER_OK && !inner.control);
}

int main(void)
{
    test_every_chain_cut_everywhere();
    test_the_walk_is_bounded();
    test_control_is_told_behind_headers();
    puts("ok");
    return 0;
}
