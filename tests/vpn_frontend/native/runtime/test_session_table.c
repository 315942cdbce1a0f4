/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Sessions come and go in any order, some with what a former process counted: the table's traffic is what a plain sum says. While
 * another thread ends sessions that were counted already, it is never more than they carried, and never less than before.
 */
#include "runtime/session_table.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define SLOTS 700u                  /* more than are read at once */
#define STEPS 20000

int gw_event_push(struct gw_event_queue *queue, const struct gw_event *event, const void *data, bool optional)
{
    (void)queue;
    (void)event;
    (void)data;
    (void)optional;
    return 0;
}

static void check(struct gw_session_table *table, uint64_t rx, uint64_t tx)
{
    uint64_t found_rx = 1, found_tx = 1;

    gw_session_table_traffic(table, &found_rx, &found_tx);
    assert(found_rx == rx && found_tx == tx);
}

#define MANY 20000u                 /* slots: they are read in many steps */
#define ENDS 20000u
#define BROUGHT (UINT64_C(1) << 40) /* bytes of each session by a former process */
#define CARRIED (UINT64_C(1) << 20) /* bytes of each session before it ends */

/* Sessions of the first slots end, and others with a former process's bytes begin there. */
static void *end_and_begin(void *argument)
{
    struct gw_session_table *table = argument;
    const struct gw_counters before = { .rx_bytes = BROUGHT, .tx_bytes = BROUGHT };
    const struct gw_session_config config = { .counters = &before };

    for (uint32_t i = 0; i < ENDS; i++) {
        struct gw_session *session = &table->slots[i % 100];

        gw_add(&session->account->counters.rx_bytes, CARRIED);
        gw_add(&session->account->counters.tx_bytes, CARRIED);
        gw_session_release(table, session);
        assert(gw_session_reserve(table, 0, &config));
    }
    return NULL;
}

static void check_beside_a_thread(void)
{
    struct gw_session_table table = { .lock = PTHREAD_MUTEX_INITIALIZER };
    const struct gw_session_config config = { 0 };
    uint64_t rx = 0, tx = 0, last_rx = 0, last_tx = 0;
    pthread_t thread;

    assert(gw_session_table_init(&table, MANY, NULL) == 0);
    for (uint32_t i = 0; i < MANY; i++)
        assert(gw_session_reserve(&table, 0, &config));
    assert(pthread_create(&thread, NULL, end_and_begin, &table) == 0);
    while (rx < ENDS * CARRIED || tx < ENDS * CARRIED) {
        gw_session_table_traffic(&table, &rx, &tx);
        assert(last_rx <= rx && rx <= ENDS * CARRIED);
        assert(last_tx <= tx && tx <= ENDS * CARRIED);
        last_rx = rx;
        last_tx = tx;
    }
    pthread_join(thread, NULL);
    check(&table, ENDS * CARRIED, ENDS * CARRIED);
    gw_session_table_free(&table);
}

int main(void)
{
    struct gw_session_table table = { .lock = PTHREAD_MUTEX_INITIALIZER };
    uint64_t open[SLOTS], rx = 0, tx = 0;
    uint32_t count = 0;

    srand(1);
    assert(gw_session_table_init(&table, SLOTS, NULL) == 0);
    check(&table, 0, 0);
    for (int step = 0; step < STEPS; step++) {
        const struct gw_counters before = { .rx_bytes = (uint64_t)rand(), .tx_bytes = (uint64_t)rand() };
        const struct gw_session_config config = { .counters = rand() % 2 ? &before : NULL };
        uint32_t chosen = count ? (uint32_t)rand() % count : 0;

        if (rand() % 3 && count < SLOTS) {
            open[count] = gw_session_reserve(&table, 0, &config);
            assert(open[count++]);
        } else if (count && rand() % 4 == 0) {
            gw_session_release(&table, &table.slots[gw_id_slot(open[chosen])]);
            open[chosen] = open[--count];
        } else if (count) {
            struct gw_counters *counters = &table.slots[gw_id_slot(open[chosen])].account->counters;
            uint64_t more = (uint64_t)rand();

            gw_add(&counters->rx_bytes, more);
            gw_add(&counters->tx_bytes, more / 2);
            rx += more;
            tx += more / 2;
        }
        if (step % 16 == 0)
            check(&table, rx, tx);
    }
    assert(count > 500);
    while (count)
        gw_session_release(&table, &table.slots[gw_id_slot(open[--count])]);
    check(&table, rx, tx);
    gw_session_table_free(&table);
    check_beside_a_thread();
    puts("ok");
    return 0;
}
