/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tables/address_table.h"

#include "tables/mix.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ENTRIES_PER_SESSION 4u      /* two addresses, at half load */
#define FIRST_SIZE 1024u            /* entries: six pages */

static uint32_t slot_of(const struct gw_address_table *table, const uint8_t address[16])
{
    uint64_t high, low;

    memcpy(&high, address, 8);
    memcpy(&low, address + 8, 8);
    return (uint32_t)gw_mix(low ^ (high ^ table->seed) * UINT64_C(0x9e3779b97f4a7c15)) & table->mask;
}

static bool is_none(const uint8_t address[16])
{
    static const uint8_t none[16];

    return memcmp(address, none, 16) == 0;
}

static void use_size(struct gw_address_table *table, uint32_t size)
{
    table->entries = table->reserved + size;
    table->mask = size - 1;
}

int gw_address_table_init(struct gw_address_table *table, uint32_t max_sessions, uint64_t seed)
{
    uint32_t size = 16;

    while (size / ENTRIES_PER_SESSION < max_sessions)
        size *= 2;
    *table = (struct gw_address_table){ .largest = size, .seed = seed };
    table->reserved = calloc(2 * (size_t)size, sizeof(*table->reserved));
    if (!table->reserved)
        return -ENOMEM;
    use_size(table, size < FIRST_SIZE ? size : FIRST_SIZE);
    return 0;
}

void gw_address_table_free(struct gw_address_table *table)
{
    free(table->reserved);
    table->reserved = table->entries = NULL;
}

/* Returns the entry of the address, or the empty one where it would go. There always is one. */
static struct gw_address_entry *seek(const struct gw_address_table *table, const uint8_t address[16])
{
    uint32_t i = slot_of(table, address);

    while (table->entries[i].session && memcmp(table->entries[i].address, address, 16) != 0)
        i = (i + 1) & table->mask;
    return &table->entries[i];
}

/* Gives the whole pages between the two back to the kernel. They are not used again, so a failure costs memory only. */
static void release(struct gw_address_entry *begin, struct gw_address_entry *end)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), first = ((uintptr_t)begin + page - 1) & ~(page - 1);
    uintptr_t behind = (uintptr_t)end & ~(page - 1);

    if (behind > first)
        madvise((void *)first, behind - first, MADV_DONTNEED);
}

static void grow(struct gw_address_table *table)
{
    struct gw_address_entry *former = table->entries, *end = former + table->mask + 1;

    use_size(table, 2 * (table->mask + 1));
    for (struct gw_address_entry *entry = former; entry < end; entry++)
        if (entry->session)
            *seek(table, entry->address) = *entry;
    release(former, end);
}

void gw_address_table_add(struct gw_address_table *table, const uint8_t address[16], uint64_t session)
{
    struct gw_address_entry *route;

    if (is_none(address))
        return;
    route = seek(table, address);
    if (!route->session && 2 * table->count > table->mask && table->mask + 1 < table->largest) {
        grow(table);
        route = seek(table, address);
    }
    table->count += !route->session;
    memcpy(route->address, address, 16);
    route->session = session;
}

void gw_address_table_remove(struct gw_address_table *table, const uint8_t address[16], uint64_t session)
{
    struct gw_address_entry *hole = seek(table, address);
    uint32_t i;

    if (!hole->session || hole->session != session)
        return;
    hole->session = 0;
    table->count--;
    /* Close the gap: an entry that probing pushed past the hole moves back into it. */
    for (i = (uint32_t)(hole - table->entries + 1) & table->mask; table->entries[i].session; i = (i + 1) & table->mask) {
        uint32_t home = slot_of(table, table->entries[i].address);
        uint32_t to_hole = ((uint32_t)(hole - table->entries) - home) & table->mask;

        if (to_hole > ((i - home) & table->mask))
            continue;
        *hole = table->entries[i];
        hole = &table->entries[i];
        hole->session = 0;
    }
}

uint64_t gw_address_table_find(const struct gw_address_table *table, const uint8_t address[16])
{
    return seek(table, address)->session;
}
