/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "limits/restriction.h"

#include "packet/address.h"
#include "packet/icmp_quote.h"
#include "packet/ip_header.h"
#include "wire.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define PORTS_SIZE 4u               /* the source and the destination port begin a transport header */

struct range4 {
    uint32_t first, last;           /* in host byte order */
};

struct gw_restriction {
    uint32_t references;            /* atomic */
    bool by_network;
    uint32_t port_rule;             /* enum gw_port_rule */
    uint32_t count4, count6, port_count;
    struct range4 *ranges4;         /* owned, as are the others; ascending, disjoint */
    struct gw_address_range *ranges6;
    struct gw_port_range *ports;
};

static uint32_t ipv4_of(const uint8_t address[16])
{
    return gw_read32(address + 12);
}

/* True if `range` is of one family, not empty, and behind `before`, which is NULL for the first one. IPv4 comes before IPv6. */
static bool follows(const struct gw_address_range *range, const struct gw_address_range *before)
{
    bool ipv4 = gw_is_mapped(range->first);

    if (memcmp(range->first, range->last, 16) > 0 || ipv4 != gw_is_mapped(range->last))
        return false;
    if (!before || (!ipv4 && gw_is_mapped(before->first)))
        return true;
    return ipv4 == gw_is_mapped(before->first) && memcmp(before->last, range->first, 16) < 0;
}

static bool is_valid(const struct gw_restriction_config *config)
{
    if (config->port_rule > GW_PORTS_EXCEPT || config->port_count > GW_RESTRICTION_PORTS_MAX ||
        config->network_count > GW_RESTRICTION_NETWORKS_MAX)
        return false;
    for (uint32_t i = 0; i < config->port_count; i++)
        if (config->ports[i].first > config->ports[i].last)
            return false;
    for (uint32_t i = 0; i < config->network_count; i++)
        if (!follows(&config->networks[i], i ? &config->networks[i - 1] : NULL))
            return false;
    return true;
}

static void fill(struct gw_restriction *restriction, const struct gw_restriction_config *config)
{
    for (uint32_t i = 0; i < config->network_count; i++) {
        const struct gw_address_range *range = &config->networks[i];

        if (gw_is_mapped(range->first))
            restriction->ranges4[restriction->count4++] = (struct range4){ ipv4_of(range->first), ipv4_of(range->last) };
        else
            restriction->ranges6[restriction->count6++] = *range;
    }
    for (uint32_t i = 0; i < config->port_count; i++)
        restriction->ports[restriction->port_count++] = config->ports[i];
}

gw_restriction *gw_restriction_new(const struct gw_restriction_config *config)
{
    struct gw_restriction *restriction;

    if (!is_valid(config))
        return NULL;
    restriction = calloc(1, sizeof(*restriction));
    if (!restriction)
        return NULL;
    restriction->references = 1;
    restriction->by_network = config->by_network;
    restriction->port_rule = config->port_rule;
    restriction->ranges4 = calloc(config->network_count + 1, sizeof(*restriction->ranges4));
    restriction->ranges6 = calloc(config->network_count + 1, sizeof(*restriction->ranges6));
    restriction->ports = calloc(config->port_count + 1, sizeof(*restriction->ports));
    if (!restriction->ranges4 || !restriction->ranges6 || !restriction->ports) {
        gw_restriction_release(restriction);
        return NULL;
    }
    fill(restriction, config);
    return restriction;
}

gw_restriction *gw_restriction_share(gw_restriction *restriction)
{
    if (restriction)
        __atomic_add_fetch(&restriction->references, 1, __ATOMIC_RELAXED);
    return restriction;
}

void gw_restriction_release(gw_restriction *restriction)
{
    if (!restriction || __atomic_sub_fetch(&restriction->references, 1, __ATOMIC_ACQ_REL))
        return;
    free(restriction->ranges4);
    free(restriction->ranges6);
    free(restriction->ports);
    free(restriction);
}

/* The first range that ends at or behind the address is the only one that may hold it. This and the next search it. */
static bool holds4(const struct gw_restriction *restriction, uint32_t address)
{
    uint32_t low = 0, high = restriction->count4;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (restriction->ranges4[middle].last < address)
            low = middle + 1;
        else
            high = middle;
    }
    return low < restriction->count4 && restriction->ranges4[low].first <= address;
}

static bool holds6(const struct gw_restriction *restriction, const uint8_t address[16])
{
    uint32_t low = 0, high = restriction->count6;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (memcmp(restriction->ranges6[middle].last, address, 16) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < restriction->count6 && memcmp(restriction->ranges6[low].first, address, 16) <= 0;
}

static bool holds(const struct gw_restriction *restriction, const uint8_t address[16])
{
    if (!restriction->by_network)
        return true;
    return gw_is_mapped(address) ? holds4(restriction, ipv4_of(address)) : holds6(restriction, address);
}

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

static bool permits_port(const struct gw_restriction *restriction, uint8_t protocol, uint16_t port)
{
    bool listed = false;

    for (uint32_t i = 0; i < restriction->port_count && !listed; i++) {
        const struct gw_port_range *range = &restriction->ports[i];

        listed = range->protocol == protocol && range->first <= port && port <= range->last;
    }
    return listed == (restriction->port_rule == GW_PORTS_ONLY);
}

static bool opens_connection(const uint8_t *transport, size_t size)
{
    return size <= TCP_FLAGS || (transport[TCP_FLAGS] & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

/* Checks the transport header, of which `size` bytes can be read. */
static bool permits_transport(const struct gw_restriction *restriction, enum gw_direction direction, uint8_t protocol,
                              const uint8_t *transport, size_t size)
{
    if (!has_ports(protocol))
        return permits_port(restriction, protocol, 0);
    if (size < PORTS_SIZE)
        return false;
    if (direction == GW_FROM_CLIENT)
        return permits_port(restriction, protocol, gw_read16(transport + 2));
    if (restriction->port_rule == GW_PORTS_ONLY && protocol == IPPROTO_TCP && opens_connection(transport, size))
        return false;
    return permits_port(restriction, protocol, gw_read16(transport));
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

static bool note_first(struct gw_restriction_state *state, const struct gw_fragment_key *key, uint64_t now)
{
    if (!state->fragments)
        state->fragments = calloc(1, sizeof(*state->fragments));
    if (!state->fragments)
        return false;
    gw_fragment_table_add(state->fragments, key, now);
    return true;
}

static enum gw_refusal check_ports(const struct gw_restriction *restriction, struct gw_restriction_state *state,
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
static bool is_error_of_permitted(const struct gw_restriction *restriction, const uint8_t *packet, size_t size,
                                  const struct gw_inner *inner)
{
    struct gw_inner quoted;

    if (!gw_icmp_quote_read(packet, size, inner, &quoted) || memcmp(quoted.source, inner->destination, 16))
        return false;
    if (!holds(restriction, quoted.destination))
        return false;
    return restriction->port_rule == GW_PORTS_ANY ||
           permits_transport(restriction, GW_FROM_CLIENT, quoted.protocol, packet + quoted.transport, size - quoted.transport);
}

static enum gw_refusal check(const struct gw_restriction *restriction, struct gw_restriction_state *state,
                             enum gw_direction direction, const uint8_t *packet, size_t size, const struct gw_inner *inner,
                             uint64_t now)
{
    enum gw_refusal refusal = GW_PERMITTED;

    if (!holds(restriction, direction == GW_FROM_CLIENT ? inner->destination : inner->source))
        refusal = GW_REFUSED_ROUTE;
    else if (restriction->port_rule != GW_PORTS_ANY)
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

enum gw_refusal gw_restriction_check(const gw_restriction *restriction, struct gw_restriction_state *state,
                                     enum gw_direction direction, const uint8_t *packet, size_t size,
                                     const struct gw_inner *inner, uint64_t now)
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
