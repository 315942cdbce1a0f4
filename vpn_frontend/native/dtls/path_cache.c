/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "dtls/path_cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int gw_paths_init(struct gw_paths *paths, uint32_t max_sessions, uint64_t seed)
{
    uint64_t rows = 8;

    while (rows * GW_PATHS_ROW < (uint64_t)max_sessions * GW_PATHS_PER_SESSION)
        rows *= 2;
    paths->places = calloc(rows * GW_PATHS_ROW, sizeof(*paths->places));
    if (!paths->places)
        return -ENOMEM;
    paths->row_mask = (uint32_t)(rows - 1);
    paths->seed = seed | 1;
    return 0;
}

void gw_paths_free(struct gw_paths *paths)
{
    free(paths->places);
    paths->places = NULL;
}

static struct gw_path_place *row_of(const struct gw_paths *paths, const struct gw_path *path)
{
    uint64_t hash = paths->seed, words[sizeof(*path) / 8];

    memcpy(words, path, sizeof(words));
    for (unsigned i = 0; i < sizeof(words) / sizeof(*words); i++) {
        hash = (hash ^ words[i]) * UINT64_C(0x9fb21c651e98df25);
        hash ^= hash >> 32;
    }
    return &paths->places[((uint32_t)hash & paths->row_mask) * GW_PATHS_ROW];
}

static struct gw_path_place *find(const struct gw_paths *paths, const struct gw_path *path)
{
    struct gw_path_place *row = row_of(paths, path);

    for (unsigned i = 0; i < GW_PATHS_ROW; i++)
        if (row[i].session && !memcmp(&row[i].path, path, sizeof(*path)))
            return &row[i];
    return NULL;
}

void gw_paths_put(struct gw_paths *paths, const struct gw_path *path, uint64_t session, uint64_t now)
{
    struct gw_path_place *place = find(paths, path);

    if (!place) {
        struct gw_path_place *row = row_of(paths, path);

        place = row;
        for (unsigned i = 1; i < GW_PATHS_ROW; i++)
            if (row[i].used < place->used)
                place = &row[i];
    }
    *place = (struct gw_path_place){ *path, session, now };
}

uint64_t gw_paths_find(struct gw_paths *paths, const struct gw_path *path, uint64_t now)
{
    struct gw_path_place *place = find(paths, path);

    if (!place)
        return 0;
    place->used = now;
    return place->session;
}
