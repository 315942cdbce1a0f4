/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "connections/source_eviction.h"

#include "connections/connection.h"

#include <stddef.h>
#include <sys/socket.h>

static struct gw_connection *connection_of(struct gw_source_entry *entry)
{
    return entry ? (struct gw_connection *)((char *)entry - offsetof(struct gw_connection, source)) : NULL;
}

/* The peer has nothing on the way: it waits for no answer, and nothing of it waits in the socket. */
static bool is_silent(const struct gw_connection *connection)
{
    uint8_t unread;

    return !connection->asked && recv(connection->pollable.fd, &unread, 1, MSG_PEEK | MSG_DONTWAIT) <= 0;
}

/* The oldest of the list that has been silent for `silence`; NULL: none. */
static struct gw_connection *find_silent(const struct gw_worker *worker, uint32_t bucket, uint64_t silence)
{
    struct gw_connection *connection = connection_of(worker->sources[bucket].oldest);

    while (connection && !(worker->now - connection->spoke >= silence && is_silent(connection)))
        connection = connection_of(connection->source.next);
    return connection;
}

/* The source with the most connections, of those with some on this worker; of equals the one that came first. */
static uint32_t find_largest(const struct gw_worker *worker)
{
    const struct gw_connection *first = NULL;
    uint32_t largest = GW_SOURCE_BUCKETS, most = 0;

    for (uint32_t i = 0; i < GW_SOURCE_BUCKETS; i++) {
        const struct gw_connection *oldest = connection_of(worker->sources[i].oldest);
        uint32_t count = oldest ? __atomic_load_n(&worker->gateway->source_counts[i], __ATOMIC_RELAXED) : 0;

        if (count > most || (count && count == most && oldest->opened < first->opened)) {
            most = count;
            largest = i;
            first = oldest;
        }
    }
    return largest;
}

static void evict(struct gw_worker *worker, struct gw_connection *connection)
{
    gw_count(worker, GW_STAT_links_evicted);
    gw_connection_end(connection, GW_CAUSE_EVICTED);
}

void gw_sources_make_room(struct gw_worker *worker, const uint8_t peer[16])
{
    struct gw *gateway = worker->gateway;
    uint32_t places = gateway->config.max_connections;
    uint32_t own = gw_source_bucket(gateway, peer), largest;
    struct gw_connection *connection = NULL;

    if (__atomic_load_n(&gateway->source_counts[own], __ATOMIC_RELAXED) >= places / GW_SOURCE_SHARE)
        connection = find_silent(worker, own, GW_SILENT);
    if (!connection && __atomic_load_n(&gateway->connections, __ATOMIC_RELAXED) >= places - places / GW_SOURCE_SHARE) {
        largest = find_largest(worker);
        if (largest == GW_SOURCE_BUCKETS)
            return;                     /* nothing but tunnels here */
        connection = find_silent(worker, largest, 0);
        if (!connection)
            connection = connection_of(worker->sources[largest].oldest);
    }
    if (connection)
        evict(worker, connection);
}
