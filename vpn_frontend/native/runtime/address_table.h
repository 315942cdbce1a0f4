/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Inner address -> session id. Every worker has a replica of its own, kept alike by the order of its mailbox, so that
 * looking up takes no lock. Sized once for the sessions there may be (two addresses each), never more than half full.
 */
#ifndef VPN_FRONTEND_ROUTES_H
#define VPN_FRONTEND_ROUTES_H

#include <stdint.h>

struct gw_address_entry {
    uint8_t address[16];
    uint64_t session;               /* 0: an empty place */
};

struct gw_address_table {
    struct gw_address_entry *places;
    uint32_t mask;
    uint64_t seed;
};

int gw_address_table_init(struct gw_address_table *addresses, uint32_t max_sessions, uint64_t seed);
void gw_address_table_free(struct gw_address_table *addresses);
/* A later session takes the address over. An all-zero address is none and is ignored. */
void gw_address_table_add(struct gw_address_table *addresses, const uint8_t address[16], uint64_t session);
/* Only where the address still belongs to `session`. */
void gw_address_table_remove(struct gw_address_table *addresses, const uint8_t address[16], uint64_t session);
/* 0: nobody's. */
uint64_t gw_address_table_find(const struct gw_address_table *addresses, const uint8_t address[16]);

#endif
