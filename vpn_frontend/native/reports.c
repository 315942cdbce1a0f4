/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Events and counters, read on Python's threads.
 */
#include "commands.h"
#include "runtime/id.h"
#include "runtime/worker.h"

static const char *const stat_names[] = {
#define STAT_NAME(name) #name,
    GW_STATS(STAT_NAME)
#undef STAT_NAME
};

uint64_t gw_signing_delay(gw *g)
{
    uint64_t now = gw_clock_now(), longest = 0;

    for (uint32_t i = 0; i < g->config.workers; i++) {
        uint64_t since = __atomic_load_n(&g->workers[i]->signer.since, __ATOMIC_RELAXED);

        if (since && now > since && now - since > longest)
            longest = now - since;
    }
    return longest / GW_MS;
}

int gw_event_fd(gw *g)
{
    return g->events.fd;
}

int gw_events(gw *g, struct gw_event *events, uint32_t count, uint8_t *data, size_t data_size)
{
    int taken = gw_event_pop(&g->events, events, count, data, data_size);

    for (int i = 0; i < taken; i++) {
        if (events[i].kind == GW_CONNECTION_CLOSED && events[i].frees_place)
            __atomic_sub_fetch(&g->connections, 1, __ATOMIC_RELAXED);
        if (events[i].kind == GW_CONNECTION_DATA) {
            struct gw_message *credit = gw_message_new(GW_MSG_CREDIT, NULL, 0);

            if (credit) {
                credit->connection = events[i].connection;
                credit->value = gw_event_cost(events[i].data_size);
            }
            gw_post(g, gw_id_worker(events[i].connection), credit);
        }
    }
    return taken;
}

int gw_session_counters(gw *g, uint64_t session, struct gw_counters *counters)
{
    return gw_session_read(&g->sessions, session, NULL, counters);
}

void gw_traffic(gw *g, uint64_t *carried)
{
    gw_session_table_traffic(&g->sessions, &carried[0], &carried[1]);
}

const char *gw_stat_name(uint32_t index)
{
    return index < sizeof(stat_names) / sizeof(stat_names[0]) ? stat_names[index] : NULL;
}

void gw_stats(gw *g, uint64_t *values, uint32_t count)
{
    for (uint32_t i = 0; i < count && i < sizeof(stat_names) / sizeof(stat_names[0]); i++) {
        values[i] = 0;
        for (uint32_t w = 0; w < g->config.workers; w++)
            values[i] += gw_load(&g->workers[w]->stats[i + 1]);
    }
}

uint32_t gw_turns(gw *g, uint64_t *turns, uint32_t count)
{
    for (uint32_t i = 0; i < count && i < g->running; i++) {
        turns[i] = gw_load(&g->workers[i]->turns);
        gw_mailbox_kick(&g->workers[i]->mailbox);
    }
    return g->running;
}
