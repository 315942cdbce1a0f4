/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Path -> session id, a cache per worker. A set-associative table with eight entries per row; a full row replaces the least
 * recently used (its client is then found by its address). Entries are made only for peers that echoed a cookie and named a
 * session. An entry may outlive its session: ids are never used again, so it finds nothing then.
 */
#ifndef VPN_FRONTEND_PATH_CACHE_H
#define VPN_FRONTEND_PATH_CACHE_H

#include <stdint.h>

/* A 5-tuple. Compared, hashed and authenticated (by the cookie) as bytes: no padding, no field unset. */
struct gw_path {
    uint8_t peer[16], local[16];    /* IPv4 as ::ffff:a.b.c.d */
    uint16_t peer_port;             /* host order */
    uint16_t socket;                /* index of the worker's UDP socket */
    uint32_t interface;             /* of the datagram for addresses that need one (fe80::/10), else 0 */
};

_Static_assert(sizeof(struct gw_path) == 40, "a path has no padding");

#define GW_PATH_CACHE_ROW 8u
#define GW_PATH_CACHE_PER_SESSION 8u     /* entries; rows then hold one path on average, and one in a million overflows */

struct gw_path_entry {
    struct gw_path path;
    uint64_t session;               /* 0: empty */
    uint64_t used;                  /* ns */
};

struct gw_path_cache {
    struct gw_path_entry *entries;
    uint32_t row_mask;
    uint64_t seed;
};

int gw_path_cache_init(struct gw_path_cache *cache, uint32_t max_sessions, uint64_t seed);
void gw_path_cache_free(struct gw_path_cache *cache);
void gw_path_cache_put(struct gw_path_cache *cache, const struct gw_path *path, uint64_t session, uint64_t now);
/* Returns the session; 0: unknown. */
uint64_t gw_path_cache_find(struct gw_path_cache *cache, const struct gw_path *path, uint64_t now);

#endif
