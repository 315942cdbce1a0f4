/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "runtime/address_table.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define PLACES_PER_SESSION 4u       /* two addresses at half load */

static uint32_t place_of(const struct gw_routes *routes, const uint8_t address[16])
{
    uint64_t high, low;

    memcpy(&high, address, 8);
    memcpy(&low, address + 8, 8);
    high = (high ^ routes->seed) * UINT64_C(0x9e3779b97f4a7c15);
    low = (low ^ high ^ high >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
    return (uint32_t)(low >> 32 ^ low) & routes->mask;
}

static bool is_none(const uint8_t address[16])
{
    static const uint8_t none[16];

    return memcmp(address, none, 16) == 0;
}

int gw_routes_init(struct gw_routes *routes, uint32_t max_sessions, uint64_t seed)
{
    uint32_t size = 16;

    while (size / PLACES_PER_SESSION < max_sessions)
        size *= 2;
    routes->places = calloc(size, sizeof(*routes->places));
    if (!routes->places)
        return -ENOMEM;
    routes->mask = size - 1;
    routes->seed = seed;
    return 0;
}

void gw_routes_free(struct gw_routes *routes)
{
    free(routes->places);
    routes->places = NULL;
}

/* The place of the address, or the empty one where it would go: there always is one. */
static struct gw_route *seek(const struct gw_routes *routes, const uint8_t address[16])
{
    uint32_t i = place_of(routes, address);

    while (routes->places[i].session && memcmp(routes->places[i].address, address, 16) != 0)
        i = (i + 1) & routes->mask;
    return &routes->places[i];
}

void gw_routes_add(struct gw_routes *routes, const uint8_t address[16], uint64_t session)
{
    struct gw_route *route;

    if (is_none(address))
        return;
    route = seek(routes, address);
    memcpy(route->address, address, 16);
    route->session = session;
}

void gw_routes_remove(struct gw_routes *routes, const uint8_t address[16], uint64_t session)
{
    struct gw_route *hole = seek(routes, address);
    uint32_t i;

    if (!hole->session || hole->session != session)
        return;
    hole->session = 0;
    /* Close the gap: whatever could have been pushed past the hole moves back into it. */
    for (i = (uint32_t)(hole - routes->places + 1) & routes->mask; routes->places[i].session; i = (i + 1) & routes->mask) {
        uint32_t home = place_of(routes, routes->places[i].address);
        uint32_t to_hole = ((uint32_t)(hole - routes->places) - home) & routes->mask;

        if (to_hole > ((i - home) & routes->mask))
            continue;
        *hole = routes->places[i];
        hole = &routes->places[i];
        hole->session = 0;
    }
}

uint64_t gw_routes_find(const struct gw_routes *routes, const uint8_t address[16])
{
    return seek(routes, address)->session;
}
