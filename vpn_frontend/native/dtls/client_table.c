/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "dtls/client_table.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Keyed, since an address is chosen by whoever sends from it. */
static uint32_t home(const struct gw_client_table *directory, const uint8_t *key)
{
    uint64_t hash = directory->seed;

    for (unsigned i = 0; i < GW_CLIENT_KEY; i += 8) {
        uint64_t word;

        memcpy(&word, key + i, 8);
        hash = (hash ^ word) * UINT64_C(0x9fb21c651e98df25);
        hash ^= hash >> 32;
    }
    return (uint32_t)hash & directory->mask;
}

int gw_client_table_init(struct gw_client_table *directory, uint32_t limit, uint64_t seed)
{
    uint32_t size = 16;

    while (size < 2 * limit)
        size *= 2;
    directory->places = calloc(size, sizeof(*directory->places));
    if (!directory->places)
        return -ENOMEM;
    pthread_mutex_init(&directory->lock, NULL);
    directory->mask = size - 1;
    directory->count = 0;
    directory->limit = limit;
    directory->seed = seed | 1;
    return 0;
}

void gw_client_table_free(struct gw_client_table *directory)
{
    if (!directory->places)
        return;
    free(directory->places);
    directory->places = NULL;
    pthread_mutex_destroy(&directory->lock);
}

static bool holds(const struct gw_client_entry *place, const uint8_t *key)
{
    return !memcmp(place->key, key, GW_CLIENT_KEY);
}

int gw_client_table_add(struct gw_client_table *directory, const uint8_t key[GW_CLIENT_KEY], uint64_t session)
{
    int status = -ENOSPC;

    pthread_mutex_lock(&directory->lock);
    if (directory->count < directory->limit) {
        uint32_t at = home(directory, key);

        while (directory->places[at].session)
            at = (at + 1) & directory->mask;
        memcpy(directory->places[at].key, key, GW_CLIENT_KEY);
        directory->places[at].session = session;
        directory->count++;
        status = 0;
    }
    pthread_mutex_unlock(&directory->lock);
    return status;
}

/* Moves up what stands behind the gap and may stand nearer to its home. */
static void close_gap(struct gw_client_table *directory, uint32_t gap)
{
    struct gw_client_entry *places = directory->places;
    uint32_t mask = directory->mask;

    for (uint32_t at = (gap + 1) & mask; places[at].session; at = (at + 1) & mask) {
        uint32_t from = home(directory, places[at].key);

        if (((at - from) & mask) >= ((at - gap) & mask)) {
            places[gap] = places[at];
            gap = at;
        }
    }
    places[gap].session = 0;
}

void gw_client_table_remove(struct gw_client_table *directory, const uint8_t key[GW_CLIENT_KEY], uint64_t session)
{
    pthread_mutex_lock(&directory->lock);
    for (uint32_t at = home(directory, key); directory->places[at].session; at = (at + 1) & directory->mask)
        if (directory->places[at].session == session && holds(&directory->places[at], key)) {
            close_gap(directory, at);
            directory->count--;
            break;
        }
    pthread_mutex_unlock(&directory->lock);
}

uint64_t gw_client_table_find(struct gw_client_table *directory, const uint8_t key[GW_CLIENT_KEY])
{
    uint64_t found = 0;
    unsigned matches = 0;

    pthread_mutex_lock(&directory->lock);
    for (uint32_t at = home(directory, key); directory->places[at].session && matches < 2; at = (at + 1) & directory->mask)
        if (holds(&directory->places[at], key)) {
            found = directory->places[at].session;
            matches++;
        }
    pthread_mutex_unlock(&directory->lock);
    return matches == 1 ? found : 0;
}
