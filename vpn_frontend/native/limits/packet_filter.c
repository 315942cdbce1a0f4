/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "limits/packet_filter.h"

#include "packet/address.h"
#include "packet/icmp_quote.h"
#include "packet/ip_header.h"
#include "wire.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define PORTS_SIZE 4u               /* the source and the destination port begin a transport header */

static bool has_ports(uint8_t protocol)
{
    switch (protocol) {
    case IPPROTO_TCP:
    case IPPROTO_UDP:
    case IPPROTO_SCTP:
    case IPPROTO_DCCP:
    case IPPROTO_UDPLITE:
        return true;
    default:
        return false;
    }
}

static bool opens_connection(const uint8_t *transport, size_t size)
{
    return size <= TCP_FLAGS || (transport[TCP_FLAGS] & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

/* Checks the transport header, of which `size` bytes can be read. */
static bool permits_transport(const gw_restriction *restriction, enum gw_direction direction, uint8_t protocol,
                              const uint8_t *transport, size_t size)
{
    if (!has_ports(protocol))
        return gw_restriction_permits(restriction, protocol, 0);
    if (size < PORTS_SIZE)
        return false;
    if (direction == GW_FROM_CLIENT)
        return gw_restriction_permits(restriction, protocol, gw_read16(transport + 2));
    if (gw_restriction_port_rule(restriction) == GW_PORTS_ONLY && protocol == IPPROTO_TCP && opens_connection(transport, size))
        return false;
    return gw_restriction_permits(restriction, protocol, gw_read16(transport));
}

/* `packet` is a fragment. */
static struct gw_fragment_key key_of(const struct gw_inner *inner, enum gw_direction direction, const uint8_t *packet)
{
    const uint8_t *peer = direction == GW_FROM_CLIENT ? inner->destination : inner->source;
    struct gw_fragment_key key = { .id = inner->fragment_id, .direction = (uint16_t)direction };

    memcpy(key.peer, peer, sizeof(key.peer));
    if (gw_is_mapped(peer)) {
        key.id = gw_read16(packet + 4);
        key.protocol = inner->protocol;
    }
    return key;
}

static bool note_first(struct gw_filter_state *state, const struct gw_fragment_key *key, uint64_t now)
{
    if (!state->fragments)
        state->fragments = calloc(1, sizeof(*state->fragments));
    if (!state->fragments)
        return false;
    gw_fragment_table_add(state->fragments, key, now);
    return true;
}

static enum gw_refusal check_ports(const gw_restriction *restriction, struct gw_filter_state *state,
                                   enum gw_direction direction, const uint8_t *packet, size_t size,
                                   const struct gw_inner *inner, uint64_t now)
{
    struct gw_fragment_key key;

    if (!inner->transport)
        return GW_REFUSED_PORT;
    if (inner->fragment & IPV4_OFFSET) {
        key = key_of(inner, direction, packet);
        return state->fragments && gw_fragment_table_has(state->fragments, &key, now) ? GW_PERMITTED : GW_REFUSED_FRAGMENT;
    }
    if (!permits_transport(restriction, direction, inner->protocol, packet + inner->transport, size - inner->transport))
        return GW_REFUSED_PORT;
    if (!inner->fragment)
        return GW_PERMITTED;
    key = key_of(inner, direction, packet);
    return note_first(state, &key, now) ? GW_PERMITTED : GW_REFUSED_FRAGMENT;
}

/* True for an ICMP error to the client about a packet that it may send. */
static bool is_error_of_permitted(const gw_restriction *restriction, const uint8_t *packet, size_t size,
                                  const struct gw_inner *inner)
{
    struct gw_inner quoted;

    if (!gw_icmp_quote_read(packet, size, inner, &quoted) || memcmp(quoted.source, inner->destination, 16))
        return false;
    if (!gw_restriction_holds(restriction, quoted.destination))
        return false;
    return gw_restriction_port_rule(restriction) == GW_PORTS_ANY ||
           permits_transport(restriction, GW_FROM_CLIENT, quoted.protocol, packet + quoted.transport, size - quoted.transport);
}

static enum gw_refusal check(const gw_restriction *restriction, struct gw_filter_state *state,
                             enum gw_direction direction, const uint8_t *packet, size_t size, const struct gw_inner *inner,
                             uint64_t now)
{
    enum gw_refusal refusal = GW_PERMITTED;

    if (!gw_restriction_holds(restriction, direction == GW_FROM_CLIENT ? inner->destination : inner->source))
        refusal = GW_REFUSED_ROUTE;
    else if (gw_restriction_port_rule(restriction) != GW_PORTS_ANY)
        refusal = check_ports(restriction, state, direction, packet, size, inner, now);
    if (refusal != GW_PERMITTED && direction == GW_TO_CLIENT && is_error_of_permitted(restriction, packet, size, inner))
        return GW_PERMITTED;
    return refusal;
}

/* Returns all of a transport header that its verdict depends on, or 0: it is not to be remembered. */
static uint64_t transport_of(const uint8_t *packet, size_t size, const struct gw_inner *inner, enum gw_direction direction)
{
    const uint8_t *transport = packet + inner->transport;
    uint64_t port, flags = 0;

    if (!inner->transport || inner->fragment || size - inner->transport <= TCP_FLAGS)
        return 0;
    if (inner->protocol == IPPROTO_TCP)
        flags = transport[TCP_FLAGS] & (TCP_SYN | TCP_ACK);
    else if (inner->protocol != IPPROTO_UDP)
        return 0;
    port = gw_read16(direction == GW_FROM_CLIENT ? transport + 2 : transport);
    return port << 16 | flags << 8 | inner->protocol;
}

enum gw_refusal gw_filter_check(const gw_restriction *restriction, struct gw_filter_state *state, enum gw_direction direction,
                                const uint8_t *packet, size_t size, const struct gw_inner *inner, uint64_t now)
{
    uint64_t transport = transport_of(packet, size, inner, direction), peer[2];
    enum gw_refusal refusal;

    memcpy(peer, direction == GW_FROM_CLIENT ? inner->destination : inner->source, sizeof(peer));
    if (transport && state->permitted[direction].transport == transport && state->permitted[direction].peer[1] == peer[1] &&
        state->permitted[direction].peer[0] == peer[0])
        return GW_PERMITTED;
    refusal = check(restriction, state, direction, packet, size, inner, now);
    if (refusal == GW_PERMITTED && transport) {
        memcpy(state->permitted[direction].peer, peer, sizeof(peer));
        state->permitted[direction].transport = transport;
    }
    return refusal;
}
