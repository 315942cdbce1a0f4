/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tables/prefix_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int gw_prefix_table_init(struct gw_prefix_table *table)
{
    table->count = 0;
    table->prefixes = calloc(GW_IROUTES_MAX, sizeof(*table->prefixes));
    return table->prefixes ? 0 : -ENOMEM;
}

void gw_prefix_table_free(struct gw_prefix_table *table)
{
    free(table->prefixes);
    table->prefixes = NULL;
    table->count = 0;
}

/* Returns the index of the first prefix that does not end before the address; `count`: each does. */
static uint32_t seek(const struct gw_prefix_table *table, const uint8_t address[16])
{
    uint32_t low = 0, high = table->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (memcmp(table->prefixes[middle].range.last, address, 16) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void gw_prefix_table_add(struct gw_prefix_table *table, const struct gw_address_range *range, uint64_t session, bool exposed)
{
    uint32_t at = seek(table, range->first), end = at;

    if (memcmp(range->first, range->last, 16) > 0)
        return;
    while (end < table->count && memcmp(table->prefixes[end].range.first, range->last, 16) <= 0)
        end++;
    if (end == at && table->count == GW_IROUTES_MAX)
        return;
    memmove(&table->prefixes[at + 1], &table->prefixes[end], (table->count - end) * sizeof(*table->prefixes));
    table->count = table->count - (end - at) + 1;
    table->prefixes[at] = (struct gw_prefix){ *range, session, exposed };
}

void gw_prefix_table_remove(struct gw_prefix_table *table, uint64_t session)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < table->count; i++)
        if (table->prefixes[i].session != session)
            table->prefixes[kept++] = table->prefixes[i];
    table->count = kept;
}

const struct gw_prefix *gw_prefix_table_find(const struct gw_prefix_table *table, const uint8_t address[16])
{
    uint32_t at = seek(table, address);

    if (at == table->count || memcmp(table->prefixes[at].range.first, address, 16) > 0)
        return NULL;
    return &table->prefixes[at];
}
