/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The table of inner addresses: against an array of all addresses, its spread over hosts of one network, and its growth.
 */
#include "packet/address.h"
#include "tables/address_table.h"
#include "wire.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define SESSIONS 256u
#define HOSTS 512u                  /* two addresses each */
#define MANY_SESSIONS 4096u
#define MANY_HOSTS 8192u
#define SMALLEST 1024u              /* size of a table that was not given more */
#define LONGEST_RUN 32u             /* of full entries; at half load a good hash has runs of about 20 */

static uint32_t random_state = 1;

static uint32_t draw(uint32_t below)
{
    random_state = random_state * 1664525 + 1013904223;
    return (random_state >> 8) % below;
}

/* Even hosts are IPv4, odd ones IPv6. */
static void address_of(uint32_t host, uint8_t out[16])
{
    uint8_t ipv4[4];

    memset(out, 0, 16);
    gw_write32(ipv4, 0xc0a86300 + host / 2);
    if (host % 2 == 0) {
        gw_map_ipv4(out, ipv4);
        return;
    }
    out[0] = 0xfd;
    gw_write32(out + 12, host / 2);
}

static void test_it_finds_what_an_array_holds(void)
{
    struct gw_address_table table;
    uint64_t sessions[HOSTS] = { 0 };

    assert(!gw_address_table_init(&table, SESSIONS, 77));
    for (uint32_t round = 0; round < 20000; round++) {
        uint32_t host = draw(HOSTS);
        uint64_t session = 1 + draw(1000);
        uint8_t address[16];

        address_of(host, address);
        if (draw(2)) {
            gw_address_table_add(&table, address, session);
            sessions[host] = session;
        } else {
            gw_address_table_remove(&table, address, sessions[host] ? sessions[host] : session);
            sessions[host] = 0;
        }
        host = draw(HOSTS);
        address_of(host, address);
        assert(gw_address_table_find(&table, address) == sessions[host]);
    }
    gw_address_table_free(&table);
}

static void test_hosts_of_a_network_are_spread(void)
{
    for (uint64_t seed = 1; seed <= 16; seed++)
        for (uint32_t family = 0; family < 2; family++) {
            struct gw_address_table table;
            uint32_t run = 0, longest = 0;
            uint8_t address[16];

            assert(!gw_address_table_init(&table, SESSIONS, seed * UINT64_C(0x9e3779b97f4a7c15)));
            for (uint32_t host = family; host < HOSTS; host += 2) {
                address_of(host, address);
                gw_address_table_add(&table, address, host + 1);
            }
            for (uint32_t i = 0; i <= table.mask; i++) {
                run = table.entries[i].session ? run + 1 : 0;
                longest = run > longest ? run : longest;
            }
            assert(longest <= LONGEST_RUN);
            gw_address_table_free(&table);
        }
}

/* Empty entries of a table much larger than its content would take memory as well: a hash reaches all of its pages. */
static void test_it_grows_with_its_content(void)
{
    struct gw_address_table table;
    uint8_t address[16];

    assert(!gw_address_table_init(&table, MANY_SESSIONS, 77));
    for (uint32_t host = 0; host < MANY_HOSTS; host++) {
        uint32_t size;

        address_of(host, address);
        gw_address_table_add(&table, address, host + 1);
        gw_address_table_add(&table, address, host + 2);    /* in place of the other, no further entry */
        size = table.mask + 1;
        assert(table.count == host + 1 && table.count <= size / 2 && (size == SMALLEST || table.count > size / 4));
    }
    for (uint32_t host = 0; host < MANY_HOSTS; host++) {
        address_of(host, address);
        assert(gw_address_table_find(&table, address) == host + 2);
        gw_address_table_remove(&table, address, host + 2);
        assert(!gw_address_table_find(&table, address) && table.count == MANY_HOSTS - 1 - host);
    }
    gw_address_table_free(&table);
}

/* Addresses come and go around the sizes at which it doubles. */
static void test_it_keeps_its_content_as_it_grows(void)
{
    static uint64_t sessions[MANY_HOSTS];
    struct gw_address_table table;
    uint8_t address[16];

    assert(!gw_address_table_init(&table, MANY_SESSIONS, 78));
    for (uint32_t round = 0; round < 4 * MANY_HOSTS; round++) {
        uint32_t host = draw(MANY_HOSTS), other = draw(MANY_HOSTS);

        address_of(host, address);
        gw_address_table_add(&table, address, round + 1);
        sessions[host] = round + 1;
        if (round % 4 == 0) {
            address_of(other, address);
            gw_address_table_remove(&table, address, sessions[other]);
            sessions[other] = 0;
        }
        if (round % 1024 == 0)
            for (uint32_t i = 0; i < MANY_HOSTS; i++) {
                address_of(i, address);
                assert(gw_address_table_find(&table, address) == sessions[i]);
            }
    }
    assert(table.mask + 1 == 2 * MANY_HOSTS);
    gw_address_table_free(&table);
}

int main(void)
{
    test_it_finds_what_an_array_holds();
    test_hosts_of_a_network_are_spread();
    test_it_grows_with_its_content();
    test_it_keeps_its_content_as_it_grows();
    puts("ok");
    return 0;
}
