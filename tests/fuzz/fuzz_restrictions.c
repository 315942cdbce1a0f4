/* SPDX-License-Identifier: GPL-3.0-or-later */
/* fuzz-sources: vpn_frontend/native/limits/restriction.c vpn_frontend/native/limits/fragment_table.c */
/* fuzz-sources: vpn_frontend/native/limits/packet_filter.c */
/* fuzz-sources: vpn_frontend/native/packet/inner_packet.c vpn_frontend/native/packet/icmp_quote.c */
/* Packets against two restrictions that are each other's complement: "only" a list of ports, and "all but" the same list. A whole
 * packet from the client passes exactly one of them, or none if its ports cannot be read. Packets to it may pass both: ICMP errors.
 * Nothing passes a restriction without networks but such errors. Input: packets (8 bits of direction, 16 of size, bytes). */
#include "limits/packet_filter.h"
#include "packet/ip_header.h"

#include <stdlib.h>
#include <string.h>

static const struct gw_port_range ports[] = { { 443, 443, 6 }, { 53, 1053, 17 }, { 0, 65535, 1 }, { 0, 65535, 58 } };

static gw_restriction *make(uint32_t rule, bool nowhere)
{
    const struct gw_restriction_config config = {
        .ports = ports, .port_count = sizeof(ports) / sizeof(ports[0]), .port_rule = rule, .by_network = nowhere,
    };

    return gw_restriction_new(&config);
}

static void check(gw_restriction *rules[3], struct gw_filter_state states[3], enum gw_direction direction,
                  const uint8_t *packet, size_t size)
{
    struct gw_inner inner;
    enum gw_refusal only, except, nowhere;

    if (gw_inner_read(packet, size, &inner) == GW_INNER_MALFORMED)
        return;
    only = gw_filter_check(rules[0], &states[0], direction, packet, size, &inner, 1);
    except = gw_filter_check(rules[1], &states[1], direction, packet, size, &inner, 1);
    nowhere = gw_filter_check(rules[2], &states[2], direction, packet, size, &inner, 1);
    if (nowhere == GW_PERMITTED || only == GW_REFUSED_ROUTE || except == GW_REFUSED_ROUTE)
        abort();
    if (direction == GW_FROM_CLIENT && !(inner.fragment & IPV4_OFFSET) && only == GW_PERMITTED && except == GW_PERMITTED)
        abort();
    if (!inner.transport && direction == GW_FROM_CLIENT && (only == GW_PERMITTED || except == GW_PERMITTED))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    gw_restriction *rules[3] = { make(GW_PORTS_ONLY, false), make(GW_PORTS_EXCEPT, false), make(GW_PORTS_ANY, true) };
    struct gw_filter_state states[3] = { 0 };

    while (size >= 3) {
        enum gw_direction direction = data[0] & 1 ? GW_TO_CLIENT : GW_FROM_CLIENT;
        size_t length = (size_t)data[1] << 8 | data[2];
        uint8_t *packet;

        data += 3;
        size -= 3;
        length = length < size ? length : size;
        packet = malloc(length ? length : 1);
        memcpy(packet, data, length);
        check(rules, states, direction, packet, length);
        free(packet);
        data += length;
        size -= length;
    }
    for (unsigned i = 0; i < 3; i++) {
        gw_restriction_release(rules[i]);
        free(states[i].fragments);
    }
    return 0;
}
