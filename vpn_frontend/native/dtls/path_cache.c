/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "dtls/path_cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int gw_path_cache_init(struct gw_path_cache *cache, uint32_t max_sessions, uint64_t seed)
{
    uint64_t rows = 8;

    while (rows * GW_PATH_CACHE_ROW < (uint64_t)max_sessions * GW_PATH_CACHE_PER_SESSION)
        rows *= 2;
    cache->entries = calloc(rows * GW_PATH_CACHE_ROW, sizeof(*cache->entries));
    if (!cache->entries)
        return -ENOMEM;
    cache->row_mask = (uint32_t)(rows - 1);
    cache->seed = seed | 1;
    return 0;
}

void gw_path_cache_free(struct gw_path_cache *cache)
{
    free(cache->entries);
    cache->entries = NULL;
}

static struct gw_path_entry *row_of(const struct gw_path_cache *cache, const struct gw_path *path)
{
    uint64_t hash = cache->seed, words[sizeof(*path) / 8];

    memcpy(words, path, sizeof(words));
    for (unsigned i = 0; i < sizeof(words) / sizeof(*words); i++) {
        hash = (hash ^ words[i]) * UINT64_C(0x9fb21c651e98df25);
        hash ^= hash >> 32;
    }
    return &cache->entries[((uint32_t)hash & cache->row_mask) * GW_PATH_CACHE_ROW];
}

static struct gw_path_entry *find(const struct gw_path_cache *cache, const struct gw_path *path)
{
    struct gw_path_entry *row = row_of(cache, path);

    for (unsigned i = 0; i < GW_PATH_CACHE_ROW; i++)
        if (row[i].session && !memcmp(&row[i].path, path, sizeof(*path)))
            return &row[i];
    return NULL;
}

void gw_path_cache_put(struct gw_path_cache *cache, const struct gw_path *path, uint64_t session, uint64_t now)
{
    struct gw_path_entry *entry = find(cache, path);

    if (!entry) {
        struct gw_path_entry *row = row_of(cache, path);

        entry = row;
        for (unsigned i = 1; i < GW_PATH_CACHE_ROW; i++)
            if (row[i].used < entry->used)
                entry = &row[i];
    }
    *entry = (struct gw_path_entry){ *path, session, now };
}

uint64_t gw_path_cache_find(struct gw_path_cache *cache, const struct gw_path *path, uint64_t now)
{
    struct gw_path_entry *entry = find(cache, path);

    if (!entry)
        return 0;
    entry->used = now;
    return entry->session;
}
