/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "limits/restriction.h"

#include "packet/address.h"
#include "wire.h"

#include <stdlib.h>
#include <string.h>

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

bool gw_restriction_holds(const gw_restriction *restriction, const uint8_t address[16])
{
    if (!restriction->by_network)
        return true;
    return gw_is_mapped(address) ? holds4(restriction, ipv4_of(address)) : holds6(restriction, address);
}

enum gw_port_rule gw_restriction_port_rule(const gw_restriction *restriction)
{
    return (enum gw_port_rule)restriction->port_rule;
}

bool gw_restriction_permits(const gw_restriction *restriction, uint8_t protocol, uint16_t port)
{
    bool listed = false;

    for (uint32_t i = 0; i < restriction->port_count && !listed; i++) {
        const struct gw_port_range *range = &restriction->ports[i];

        listed = range->protocol == protocol && range->first <= port && port <= range->last;
    }
    return listed == (restriction->port_rule == GW_PORTS_ONLY);
}
