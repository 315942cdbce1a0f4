/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Inner address -> session id. Each worker has a replica, kept equal by the order of its routes, so a lookup takes no lock. Open
 * addressing with linear probing, never more than half full. It doubles as addresses come, up to max_sessions sessions with two each:
 * a hash spreads a few over all pages of a large table. Address space for every size is reserved at first, so growing cannot fail.
 */
#ifndef VPN_FRONTEND_ADDRESS_TABLE_H
#define VPN_FRONTEND_ADDRESS_TABLE_H

#include <stdint.h>

struct gw_address_entry {
    uint8_t address[16];
    uint64_t session;               /* 0: empty */
};

struct gw_address_table {
    struct gw_address_entry *reserved;      /* owned; the table of n entries is at index n */
    struct gw_address_entry *entries;       /* the one in use */
    uint32_t mask, count;                   /* its size less one, and how many are not empty */
    uint32_t largest;                       /* of its sizes */
    uint64_t seed;
};

/* 0 or -ENOMEM. */
int gw_address_table_init(struct gw_address_table *table, uint32_t max_sessions, uint64_t seed);
void gw_address_table_free(struct gw_address_table *table);
/* Replaces an earlier session of the address. An all-zero address is ignored. */
void gw_address_table_add(struct gw_address_table *table, const uint8_t address[16], uint64_t session);
/* Removes the address if it still belongs to `session`. */
void gw_address_table_remove(struct gw_address_table *table, const uint8_t address[16], uint64_t session);
/* Returns the session; 0: none. */
uint64_t gw_address_table_find(const struct gw_address_table *table, const uint8_t address[16]);

#endif
