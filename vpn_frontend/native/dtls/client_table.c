/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "dtls/client_table.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Keyed: senders choose their addresses. */
static uint32_t home(const struct gw_client_table *table, const uint8_t *key)
{
    uint64_t hash = table->seed;

    for (unsigned i = 0; i < GW_CLIENT_KEY; i += 8) {
        uint64_t word;

        memcpy(&word, key + i, 8);
        hash = (hash ^ word) * UINT64_C(0x9fb21c651e98df25);
        hash ^= hash >> 32;
    }
    return (uint32_t)hash & table->mask;
}

int gw_client_table_init(struct gw_client_table *table, uint32_t limit, uint64_t seed)
{
    uint32_t size = 16;

    while (size < 2 * limit)
        size *= 2;
    table->entries = calloc(size, sizeof(*table->entries));
    if (!table->entries)
        return -ENOMEM;
    pthread_mutex_init(&table->lock, NULL);
    table->mask = size - 1;
    table->count = 0;
    table->limit = limit;
    table->seed = seed | 1;
    return 0;
}

void gw_client_table_free(struct gw_client_table *table)
{
    if (!table->entries)
        return;
    free(table->entries);
    table->entries = NULL;
    pthread_mutex_destroy(&table->lock);
}

static bool holds(const struct gw_client_entry *entry, const uint8_t *key)
{
    return !memcmp(entry->key, key, GW_CLIENT_KEY);
}

int gw_client_table_add(struct gw_client_table *table, const uint8_t key[GW_CLIENT_KEY], uint64_t session)
{
    int status = -ENOSPC;

    pthread_mutex_lock(&table->lock);
    if (table->count < table->limit) {
        uint32_t at = home(table, key);

        while (table->entries[at].session)
            at = (at + 1) & table->mask;
        memcpy(table->entries[at].key, key, GW_CLIENT_KEY);
        table->entries[at].session = session;
        table->count++;
        status = 0;
    }
    pthread_mutex_unlock(&table->lock);
    return status;
}

/* Moves entries behind the gap nearer to their home, as open addressing needs. */
static void close_gap(struct gw_client_table *table, uint32_t gap)
{
    struct gw_client_entry *entries = table->entries;
    uint32_t mask = table->mask;

    for (uint32_t at = (gap + 1) & mask; entries[at].session; at = (at + 1) & mask) {
        uint32_t from = home(table, entries[at].key);

        if (((at - from) & mask) >= ((at - gap) & mask)) {
            entries[gap] = entries[at];
            gap = at;
        }
    }
    entries[gap].session = 0;
}

void gw_client_table_remove(struct gw_client_table *table, const uint8_t key[GW_CLIENT_KEY], uint64_t session)
{
    pthread_mutex_lock(&table->lock);
    for (uint32_t at = home(table, key); table->entries[at].session; at = (at + 1) & table->mask)
        if (table->entries[at].session == session && holds(&table->entries[at], key)) {
            close_gap(table, at);
            table->count--;
            break;
        }
    pthread_mutex_unlock(&table->lock);
}

uint64_t gw_client_table_find(struct gw_client_table *table, const uint8_t key[GW_CLIENT_KEY])
{
    uint64_t found = 0;
    unsigned matches = 0;

    pthread_mutex_lock(&table->lock);
    for (uint32_t at = home(table, key); table->entries[at].session && matches < 2; at = (at + 1) & table->mask)
        if (holds(&table->entries[at], key)) {
            found = table->entries[at].session;
            matches++;
        }
    pthread_mutex_unlock(&table->lock);
    return matches == 1 ? found : 0;
}
