/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "limits/fragment_table.h"

#include <string.h>

_Static_assert(sizeof(struct gw_fragment_key) == 24, "keys are compared whole, so they have no padding");

void gw_fragment_table_add(struct gw_fragment_table *table, const struct gw_fragment_key *key, uint64_t now)
{
    if (gw_fragment_table_has(table, key, now))
        return;
    table->entries[table->next].key = *key;
    table->entries[table->next].until = now + GW_FRAGMENT_LIFE;
    table->next = (table->next + 1) % GW_FRAGMENT_ENTRIES;
}

bool gw_fragment_table_has(const struct gw_fragment_table *table, const struct gw_fragment_key *key, uint64_t now)
{
    for (unsigned i = 0; i < GW_FRAGMENT_ENTRIES; i++)
        if (table->entries[i].until > now && memcmp(&table->entries[i].key, key, sizeof(*key)) == 0)
            return true;
    return false;
}
