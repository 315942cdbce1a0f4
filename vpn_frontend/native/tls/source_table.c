/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tls/source_table.h"

#include "tls/connection.h"

#include <string.h>
#include <sys/socket.h>

#define IPV6_SOURCE 6u                  /* bytes of a /48: what a site is given, and changes within at will */

/* The finalizer of splitmix64: every bit of the result depends on every bit of `value`. */
static uint64_t mix(uint64_t value)
{
    value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
    return value ^ value >> 31;
}

static uint32_t bucket_of(const struct gw *gateway, const uint8_t peer[16])
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    uint64_t source = 0;

    if (memcmp(peer, mapped, sizeof(mapped)))
        memcpy(&source, peer, IPV6_SOURCE);
    else
        memcpy(&source, peer + 8, 8);
    return (uint32_t)(mix(mix(source ^ gateway->seed) + gateway->seed) % GW_SOURCE_BUCKETS);
}

void gw_sources_add(struct gw_connection *connection)
{
    struct gw_worker *worker = connection->worker;
    struct gw_source_list *list;

    connection->source = bucket_of(worker->gateway, connection->peer);
    connection->sourced = true;
    list = &worker->sources[connection->source];
    connection->source_next = NULL;
    connection->source_previous = list->newest;
    if (list->newest)
        list->newest->source_next = connection;
    else
        list->oldest = connection;
    list->newest = connection;
    __atomic_add_fetch(&worker->gateway->source_counts[connection->source], 1, __ATOMIC_RELAXED);
}

void gw_sources_remove(struct gw_connection *connection)
{
    struct gw_worker *worker = connection->worker;
    struct gw_source_list *list;

    if (!connection->sourced)
        return;
    connection->sourced = false;
    list = &worker->sources[connection->source];
    if (connection->source_previous)
        connection->source_previous->source_next = connection->source_next;
    else
        list->oldest = connection->source_next;
    if (connection->source_next)
        connection->source_next->source_previous = connection->source_previous;
    else
        list->newest = connection->source_previous;
    __atomic_sub_fetch(&worker->gateway->source_counts[connection->source], 1, __ATOMIC_RELAXED);
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
    struct gw_connection *connection = worker->sources[bucket].oldest;

    while (connection && !(worker->now - connection->spoke >= silence && is_silent(connection)))
        connection = connection->source_next;
    return connection;
}

/* The source with the most connections, of those with some on this worker; of equals the one that came first. */
static uint32_t find_largest(const struct gw_worker *worker)
{
    const struct gw_connection *first = NULL;
    uint32_t largest = GW_SOURCE_BUCKETS, most = 0;

    for (uint32_t i = 0; i < GW_SOURCE_BUCKETS; i++) {
        const struct gw_connection *oldest = worker->sources[i].oldest;
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
    uint32_t own = bucket_of(gateway, peer), largest;
    struct gw_connection *connection = NULL;

    if (__atomic_load_n(&gateway->source_counts[own], __ATOMIC_RELAXED) >= places / GW_SOURCE_SHARE)
        connection = find_silent(worker, own, GW_SILENT);
    if (!connection && __atomic_load_n(&gateway->connections, __ATOMIC_RELAXED) >= places - places / GW_SOURCE_SHARE) {
        largest = find_largest(worker);
        if (largest == GW_SOURCE_BUCKETS)
            return;                     /* nothing but tunnels here */
        connection = find_silent(worker, largest, 0);
        if (!connection)
            connection = worker->sources[largest].oldest;
    }
    if (connection)
        evict(worker, connection);
}
