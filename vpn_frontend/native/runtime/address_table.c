/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "runtime/address_table.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define PLACES_PER_SESSION 4u       /* two addresses at half load */

static uint32_t place_of(const struct gw_address_table *addresses, const uint8_t address[16])
{
    uint64_t high, low;

    memcpy(&high, address, 8);
    memcpy(&low, address + 8, 8);
    high = (high ^ addresses->seed) * UINT64_C(0x9e3779b97f4a7c15);
    low = (low ^ high ^ high >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
    return (uint32_t)(low >> 32 ^ low) & addresses->mask;
}

static bool is_none(const uint8_t address[16])
{
    static const uint8_t none[16];

    return memcmp(address, none, 16) == 0;
}

int gw_address_table_init(struct gw_address_table *addresses, uint32_t max_sessions, uint64_t seed)
{
    uint32_t size = 16;

    while (size / PLACES_PER_SESSION < max_sessions)
        size *= 2;
    addresses->places = calloc(size, sizeof(*addresses->places));
    if (!addresses->places)
        return -ENOMEM;
    addresses->mask = size - 1;
    addresses->seed = seed;
    return 0;
}

void gw_address_table_free(struct gw_address_table *addresses)
{
    free(addresses->places);
    addresses->places = NULL;
}

/* The place of the address, or the empty one where it would go: there always is one. */
static struct gw_address_entry *seek(const struct gw_address_table *addresses, const uint8_t address[16])
{
    uint32_t i = place_of(addresses, address);

    while (addresses->places[i].session && memcmp(addresses->places[i].address, address, 16) != 0)
        i = (i + 1) & addresses->mask;
    return &addresses->places[i];
}

void gw_address_table_add(struct gw_address_table *addresses, const uint8_t address[16], uint64_t session)
{
    struct gw_address_entry *route;

    if (is_none(address))
        return;
    route = seek(addresses, address);
    memcpy(route->address, address, 16);
    route->session = session;
}

void gw_address_table_remove(struct gw_address_table *addresses, const uint8_t address[16], uint64_t session)
{
    struct gw_address_entry *hole = seek(addresses, address);
    uint32_t i;

    if (!hole->session || hole->session != session)
        return;
    hole->session = 0;
    /* Close the gap: whatever could have been pushed past the hole moves back into it. */
    for (i = (uint32_t)(hole - addresses->places + 1) & addresses->mask; addresses->places[i].session;
         i = (i + 1) & addresses->mask) {
        uint32_t home = place_of(addresses, addresses->places[i].address);
        uint32_t to_hole = ((uint32_t)(hole - addresses->places) - home) & addresses->mask;

        if (to_hole > ((i - home) & addresses->mask))
            continue;
        *hole = addresses->places[i];
        hole = &addresses->places[i];
        hole->session = 0;
    }
}

uint64_t gw_address_table_find(const struct gw_address_table *addresses, const uint8_t address[16])
{
    return seek(addresses, address)->session;
}
