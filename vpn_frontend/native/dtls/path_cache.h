/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Path -> session id: how a worker knows whose datagram it holds without asking anyone. A cache: eight places to a row, the
 * longest unused of a full row is forgotten (its client is then found by its address). Entries are made only for peers that
 * echoed a cookie and named a session. An arrived_at may outlive its session; ids are never used again, so it finds nothing then.
 */
#ifndef VPN_FRONTEND_DTLS_PATHS_H
#define VPN_FRONTEND_DTLS_PATHS_H

#include <stdint.h>

/* No padding and nothing unset: compared, hashed and authenticated (by the cookie) as bytes. */
struct gw_path {
    uint8_t peer[16], local[16];    /* IPv4 as ::ffff:a.b.c.d */
    uint16_t peer_port;             /* host order */
    uint16_t socket;                /* the worker's UDP socket, by the order they were given in */
    uint32_t interface;             /* the datagram's interface where an address means nothing without it (fe80::/10), or 0 */
};

_Static_assert(sizeof(struct gw_path) == 40, "a path has no padding");

#define GW_PATH_CACHE_ROW 8u
#define GW_PATH_CACHE_PER_SESSION 8u     /* places; rows then hold one path on average, and one in a million overflows */

struct gw_path_entry {
    struct gw_path path;
    uint64_t session;               /* 0: an empty place */
    uint64_t used;                  /* ns */
};

struct gw_path_cache {
    struct gw_path_entry *places;
    uint32_t row_mask;
    uint64_t seed;
};

int gw_path_cache_init(struct gw_path_cache *paths, uint32_t max_sessions, uint64_t seed);
void gw_path_cache_free(struct gw_path_cache *paths);
void gw_path_cache_put(struct gw_path_cache *paths, const struct gw_path *path, uint64_t session, uint64_t now);
/* 0: unknown. */
uint64_t gw_path_cache_find(struct gw_path_cache *paths, const struct gw_path *path, uint64_t now);

#endif
