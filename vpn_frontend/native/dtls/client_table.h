/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * 32-byte key -> session id, shared by all workers. Keys are the names of sessions (App-ID, session id) and the addresses of
 * clients. It is asked for datagrams of an unknown path. A key of several sessions finds none: a guess could give one client's
 * datagrams to another. Sized once, never more than half full, one lock, no allocation.
 */
#ifndef VPN_FRONTEND_CLIENT_TABLE_H
#define VPN_FRONTEND_CLIENT_TABLE_H

#include <pthread.h>
#include <stdint.h>

#define GW_CLIENT_KEY 32u

struct gw_client_entry {
    uint8_t key[GW_CLIENT_KEY];
    uint64_t session;               /* 0: empty */
};

struct gw_client_table {
    pthread_mutex_t lock;
    struct gw_client_entry *entries;
    uint32_t mask, count, limit;
    uint64_t seed;
};

int gw_client_table_init(struct gw_client_table *table, uint32_t limit, uint64_t seed);
void gw_client_table_free(struct gw_client_table *table);
/* -ENOSPC: the table has `limit` entries. */
int gw_client_table_add(struct gw_client_table *table, const uint8_t key[GW_CLIENT_KEY], uint64_t session);
void gw_client_table_remove(struct gw_client_table *table, const uint8_t key[GW_CLIENT_KEY], uint64_t session);
/* Returns the session; 0: none, or several. */
uint64_t gw_client_table_find(struct gw_client_table *table, const uint8_t key[GW_CLIENT_KEY]);

#endif
