/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Networks behind clients -> session id, as disjoint ranges of addresses in ascending order. Each worker has a replica, kept equal
 * by the order of its routes, so a lookup takes no lock. Of fixed capacity; its memory is touched as far as it is used.
 */
#ifndef VPN_FRONTEND_PREFIX_TABLE_H
#define VPN_FRONTEND_PREFIX_TABLE_H

#include "gateway.h"

#include <stdbool.h>
#include <stdint.h>

struct gw_prefix {
    struct gw_address_range range;
    uint64_t session;
    bool exposed;                   /* other clients may reach it */
};

struct gw_prefix_table {
    struct gw_prefix *prefixes;
    uint32_t count;
};

/* 0 or -ENOMEM. Room for GW_IROUTES_MAX prefixes. */
int gw_prefix_table_init(struct gw_prefix_table *table);
void gw_prefix_table_free(struct gw_prefix_table *table);
/* Gives the range to `session`, and takes every range that overlaps with it from the session that had it. Ignored if the table is full
 * or the range is none. */
void gw_prefix_table_add(struct gw_prefix_table *table, const struct gw_address_range *range, uint64_t session, bool exposed);
/* Removes every range of the session. */
void gw_prefix_table_remove(struct gw_prefix_table *table, uint64_t session);
/* NULL: no network behind a client has the address. Valid until the table changes. */
const struct gw_prefix *gw_prefix_table_find(const struct gw_prefix_table *table, const uint8_t address[16]);

#endif
