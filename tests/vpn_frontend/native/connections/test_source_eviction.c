/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "connections/source_eviction.h"

#include "connections/connection.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLACES 64u

static struct gw gateway;
static struct gw_worker *worker;
static struct gw_connection *evicted;
static struct gw_connection connections[PLACES * 2];
static uint32_t made;

void gw_connection_end(struct gw_connection *connection, enum gw_cause cause)
{
    assert(cause == GW_CAUSE_EVICTED);
    evicted = connection;
    gw_sources_remove(worker, &connection->source);
    gateway.connections--;
}

/* The address 192.0.2.`host`, or 2001:db8:`site`::`host` with a site other than 0. */
static const uint8_t *address(uint8_t site, uint8_t host)
{
    static uint8_t bytes[16];

    memset(bytes, 0, sizeof(bytes));
    if (site) {
        memcpy(bytes, (uint8_t[]){ 0x20, 0x01, 0x0d, 0xb8, 0, site, host, host }, 8);
    } else {
        memcpy(bytes + 10, (uint8_t[]){ 0xff, 0xff, 192, 0, 2, host }, 6);
    }
    return bytes;
}

static struct gw_connection *accept_from(const uint8_t peer[16])
{
    struct gw_connection *connection = &connections[made++];

    evicted = NULL;
    gw_sources_make_room(worker, peer);
    connection->worker = worker;
    connection->pollable.fd = -1;
    memcpy(connection->peer, peer, 16);
    connection->opened = connection->spoke = worker->now;
    gw_sources_add(worker, &connection->source, connection->peer);
    gateway.connections++;
    return connection;
}

static void begin(void)
{
    made = 0;
    memset(connections, 0, sizeof(connections));
    memset(&gateway, 0, sizeof(gateway));
    gateway.config.max_connections = PLACES;
    gateway.seed = 7;
    free(worker);
    worker = calloc(1, sizeof(*worker));
    worker->gateway = &gateway;
    worker->now = 100 * GW_SECOND;
}

static void test_the_largest_source_gives_up_its_oldest_silent_connection(void)
{
    struct gw_connection *crowd[PLACES] = { 0 }, *neighbour;

    begin();
    neighbour = accept_from(address(0, 1));
    for (uint32_t i = 0; i < PLACES - PLACES / GW_SOURCE_SHARE - 1; i++) {
        crowd[i] = accept_from(address(0, 2));
        assert(!evicted);
    }
    crowd[0]->asked = true;             /* it waits for an answer: not silent */
    accept_from(address(0, 3));
    assert(evicted == crowd[1]);
    accept_from(address(0, 2));
    assert(evicted == crowd[2]);
    assert(neighbour->source.listed);
}

static void test_a_source_has_a_share_and_loses_only_what_is_silent(void)
{
    struct gw_connection *first;

    begin();
    first = accept_from(address(0, 1));
    for (uint32_t i = 1; i < PLACES / GW_SOURCE_SHARE; i++)
        accept_from(address(0, 1));
    accept_from(address(0, 1));
    assert(!evicted);                   /* a storm of clients behind one address */
    worker->now += GW_SILENT;
    accept_from(address(0, 1));
    assert(evicted == first);
    accept_from(address(0, 2));
    assert(!evicted);
}

static void test_an_ipv6_source_is_a_48(void)
{
    begin();
    accept_from(address(1, 1));
    worker->now += GW_SILENT;
    for (uint8_t i = 2; i <= PLACES / GW_SOURCE_SHARE; i++)
        accept_from(address(1, i));
    assert(!evicted);
    accept_from(address(1, 99));
    assert(evicted);
    accept_from(address(2, 1));
    assert(!evicted);
}

static void test_of_equal_sources_the_one_that_came_first_loses(void)
{
    struct gw_connection *first;

    begin();
    first = accept_from(address(0, 1));
    worker->now++;
    accept_from(address(0, 2));
    accept_from(address(0, 3));
    gateway.connections = PLACES;
    accept_from(address(0, 4));
    assert(evicted == first);
}

static void test_tunnels_are_never_evicted(void)
{
    struct gw_connection *tunnel;

    begin();
    tunnel = accept_from(address(0, 1));
    gw_sources_remove(worker, &tunnel->source);
    gw_sources_remove(worker, &tunnel->source);
    gateway.connections = PLACES;
    accept_from(address(0, 2));
    assert(!evicted);
    assert(!tunnel->source.listed);
}

int main(void)
{
    test_the_largest_source_gives_up_its_oldest_silent_connection();
    test_a_source_has_a_share_and_loses_only_what_is_silent();
    test_an_ipv6_source_is_a_48();
    test_of_equal_sources_the_one_that_came_first_loses();
    test_tunnels_are_never_evicted();
    free(worker);
    puts("ok");
    return 0;
}
