/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Connections without a tunnel, by source: an IPv4 address or an IPv6 /48. Sources whose seeded hashes collide count as one.
 * source_eviction.h uses it to bound what one source holds.
 */
#ifndef VPN_FRONTEND_SOURCE_TABLE_H
#define VPN_FRONTEND_SOURCE_TABLE_H

#include "runtime/worker.h"

/* A connection's place in the list of its source. The connection owns it. */
struct gw_source_entry {
    struct gw_source_entry *previous, *next;    /* of the same source, in the sequence of acceptance */
    uint32_t bucket;
    bool listed;
};

/* The index of the list for a peer: IPv4 as ::ffff:a.b.c.d. */
uint32_t gw_source_bucket(const struct gw *gateway, const uint8_t peer[16]);

/* The entry stays on the worker's list until gw_sources_remove, which is idempotent. */
void gw_sources_add(struct gw_worker *worker, struct gw_source_entry *entry, const uint8_t peer[16]);
void gw_sources_remove(struct gw_worker *worker, struct gw_source_entry *entry);

#endif
