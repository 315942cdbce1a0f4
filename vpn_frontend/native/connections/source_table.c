/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "connections/source_table.h"

#include "tables/mix.h"

#include <string.h>

#define IPV6_SOURCE 6u                  /* bytes of a /48: what a site is given, and changes within at will */

uint32_t gw_source_bucket(const struct gw *gateway, const uint8_t peer[16])
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    uint64_t source = 0;

    if (memcmp(peer, mapped, sizeof(mapped)))
        memcpy(&source, peer, IPV6_SOURCE);
    else
        memcpy(&source, peer + 8, 8);
    return (uint32_t)(gw_mix(gw_mix(source ^ gateway->seed) + gateway->seed) % GW_SOURCE_BUCKETS);
}

void gw_sources_add(struct gw_worker *worker, struct gw_source_entry *entry, const uint8_t peer[16])
{
    struct gw_source_list *list;

    entry->bucket = gw_source_bucket(worker->gateway, peer);
    entry->listed = true;
    list = &worker->sources[entry->bucket];
    entry->next = NULL;
    entry->previous = list->newest;
    if (list->newest)
        list->newest->next = entry;
    else
        list->oldest = entry;
    list->newest = entry;
    __atomic_add_fetch(&worker->gateway->source_counts[entry->bucket], 1, __ATOMIC_RELAXED);
}

void gw_sources_remove(struct gw_worker *worker, struct gw_source_entry *entry)
{
    struct gw_source_list *list;

    if (!entry->listed)
        return;
    entry->listed = false;
    list = &worker->sources[entry->bucket];
    if (entry->previous)
        entry->previous->next = entry->next;
    else
        list->oldest = entry->next;
    if (entry->next)
        entry->next->previous = entry->previous;
    else
        list->newest = entry->previous;
    __atomic_sub_fetch(&worker->gateway->source_counts[entry->bucket], 1, __ATOMIC_RELAXED);
}
