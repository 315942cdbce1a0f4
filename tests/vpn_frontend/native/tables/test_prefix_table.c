/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The table of networks behind clients: against an array with the session of every address.
 */
#include "tables/prefix_table.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define ADDRESSES 512u
#define SESSIONS 12u

static uint32_t random_state = 1;

static uint32_t draw(uint32_t below)
{
    random_state = random_state * 1664525 + 1013904223;
    return (random_state >> 8) % below;
}

/* Address `number` of 10.0.0.0/8, in mapped form. */
static void address_of(uint32_t number, uint8_t out[16])
{
    const uint8_t address[16] = { [10] = 0xff, 0xff, 10, 0, (uint8_t)(number >> 8), (uint8_t)number };

    memcpy(out, address, 16);
}

static struct gw_address_range range_of(uint32_t first, uint32_t last)
{
    struct gw_address_range range;

    address_of(first, range.first);
    address_of(last, range.last);
    return range;
}

static uint64_t find(const struct gw_prefix_table *table, uint32_t number)
{
    const struct gw_prefix *found;
    uint8_t address[16];

    address_of(number, address);
    found = gw_prefix_table_find(table, address);
    return found ? found->session : 0;
}

/* A range that overlaps with others takes them whole: their sessions lose every address of theirs. */
static void test_it_finds_what_an_array_holds(void)
{
    uint32_t firsts[ADDRESSES], lasts[ADDRESSES], sessions[ADDRESSES] = { 0 };
    struct gw_prefix_table table;

    assert(!gw_prefix_table_init(&table));
    for (uint32_t round = 0; round < 20000; round++) {
        uint32_t session = 1 + draw(SESSIONS), first = draw(ADDRESSES), size = 1 + draw(16);
        uint32_t last = first + size > ADDRESSES ? ADDRESSES - 1 : first + size - 1;

        if (draw(4)) {
            struct gw_address_range range = range_of(first, last);

            gw_prefix_table_add(&table, &range, session, draw(2));
            for (uint32_t i = 0; i < ADDRESSES; i++)
                if (sessions[i] && firsts[i] <= last && lasts[i] >= first)
                    sessions[i] = 0;
            for (uint32_t i = first; i <= last; i++)
                sessions[i] = session, firsts[i] = first, lasts[i] = last;
        } else {
            gw_prefix_table_remove(&table, session);
            for (uint32_t i = 0; i < ADDRESSES; i++)
                if (sessions[i] == session)
                    sessions[i] = 0;
        }
        for (uint32_t i = 0; i < 8; i++) {
            uint32_t number = draw(ADDRESSES);

            assert(find(&table, number) == sessions[number]);
        }
        assert(find(&table, ADDRESSES) == 0);
    }
    gw_prefix_table_free(&table);
}

static void test_a_full_table_takes_no_more(void)
{
    struct gw_prefix_table table;
    struct gw_address_range range;

    assert(!gw_prefix_table_init(&table));
    for (uint32_t i = 0; i <= GW_IROUTES_MAX; i++) {
        range = range_of(2 * i, 2 * i);
        gw_prefix_table_add(&table, &range, 1 + i, false);
    }
    assert(table.count == GW_IROUTES_MAX);
    assert(find(&table, 2 * (GW_IROUTES_MAX - 1)) == GW_IROUTES_MAX && find(&table, 2 * GW_IROUTES_MAX) == 0);
    range = range_of(0, 3);             /* takes the room of two others */
    gw_prefix_table_add(&table, &range, 7, true);
    assert(table.count == GW_IROUTES_MAX - 1 && find(&table, 3) == 7);
    range = range_of(9, 8);
    gw_prefix_table_add(&table, &range, 7, true);
    assert(table.count == GW_IROUTES_MAX - 1);
    gw_prefix_table_free(&table);
}

int main(void)
{
    test_it_finds_what_an_array_holds();
    test_a_full_table_takes_no_more();
    puts("ok");
    return 0;
}
