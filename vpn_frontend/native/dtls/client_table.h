/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * 32-byte key -> session id, asked by every worker for datagrams whose path it does not know: names of sessions (App-ID,
 * session id) and addresses of clients. A key may be there for several sessions: then it finds none, since a guess would hand
 * one client's datagrams to another. Sized once, never more than half full, one lock, no allocation.
 */
#ifndef VPN_FRONTEND_DTLS_DIRECTORY_H
#define VPN_FRONTEND_DTLS_DIRECTORY_H

#include <pthread.h>
#include <stdint.h>

#define GW_CLIENT_KEY 32u

struct gw_client_entry {
    uint8_t key[GW_CLIENT_KEY];
    uint64_t session;               /* 0: an empty place */
};

struct gw_client_table {
    pthread_mutex_t lock;
    struct gw_client_entry *places;
    uint32_t mask, count, limit;
    uint64_t seed;
};

int gw_client_table_init(struct gw_client_table *directory, uint32_t limit, uint64_t seed);
void gw_client_table_free(struct gw_client_table *directory);
/* -ENOSPC: `limit` entries are in it. */
int gw_client_table_add(struct gw_client_table *directory, const uint8_t key[GW_CLIENT_KEY], uint64_t session);
void gw_client_table_remove(struct gw_client_table *directory, const uint8_t key[GW_CLIENT_KEY], uint64_t session);
/* 0: nobody's, or more than one session's. */
uint64_t gw_client_table_find(struct gw_client_table *directory, const uint8_t key[GW_CLIENT_KEY]);

#endif
