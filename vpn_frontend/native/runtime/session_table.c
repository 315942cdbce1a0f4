/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "runtime/session_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS_READ_AT_ONCE 256u     /* under the lock, some microseconds */

int gw_session_table_init(struct gw_session_table *table, uint32_t size, struct gw_account *accounts)
{
    table->slots = calloc(size, sizeof(*table->slots));
    table->owns_accounts = !accounts;
    table->accounts = accounts ? accounts : calloc(size, sizeof(*table->accounts));
    if (!table->slots || !table->accounts)
        return -ENOMEM;
    for (uint32_t i = 0; i < size; i++) {
        table->slots[i].account = &table->accounts[i];
        table->slots[i].next_free = i + 1;
        table->slots[i].generation = 1;     /* no id is 0 */
    }
    table->size = size;
    table->free = 0;
    return 0;
}

void gw_session_table_free(struct gw_session_table *table)
{
    free(table->slots);
    if (table->owns_accounts)
        free(table->accounts);
    table->slots = NULL;
    table->accounts = NULL;
}

/* The key comes last: a process that is killed in between leaves an account of no session. */
static void begin_account(struct gw_account *account, const struct gw_session_config *config)
{
    memset(account, 0, sizeof(*account));
    if (config->counters)
        account->counters = *config->counters;
    if (config->key)
        memcpy(account->key, config->key, sizeof(account->key));
}

uint64_t gw_session_reserve(struct gw_session_table *table, uint32_t worker, const struct gw_session_config *config)
{
    uint64_t id = 0;

    pthread_mutex_lock(&table->lock);
    if (table->free < table->size) {
        uint32_t slot = table->free;
        struct gw_session *session = &table->slots[slot];

        table->free = session->next_free;
        if (slot >= table->used)
            table->used = slot + 1;
        session->former_rx -= config->counters ? config->counters->rx_bytes : 0;
        session->former_tx -= config->counters ? config->counters->tx_bytes : 0;
        id = gw_id(session->generation, slot, worker);
        begin_account(session->account, config);
        session->config = *config;
        session->config.key = NULL;         /* the caller's */
        session->config.counters = NULL;
        session->open = false;
        session->moved = 0;
        session->rate = (struct gw_session_rate){ 0 };
        __atomic_store_n(&session->home, worker, __ATOMIC_RELAXED);
        __atomic_store_n(&session->id, id, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&table->lock);
    return id;
}

void gw_session_mark_ended(struct gw_session_table *table, uint64_t id)
{
    uint32_t slot = gw_id_slot(id);

    if (!id || slot >= table->size)
        return;
    pthread_mutex_lock(&table->lock);
    if (table->slots[slot].id == id)
        table->accounts[slot].ended = 1;
    pthread_mutex_unlock(&table->lock);
}

void gw_session_release(struct gw_session_table *table, struct gw_session *session)
{
    pthread_mutex_lock(&table->lock);
    session->account->ended = 1;
    session->former_rx += gw_load(&session->account->counters.rx_bytes);
    session->former_tx += gw_load(&session->account->counters.tx_bytes);
    __atomic_store_n(&session->id, 0, __ATOMIC_RELAXED);
    session->generation++;
    session->next_free = table->free;
    table->free = (uint32_t)(session - table->slots);
    pthread_mutex_unlock(&table->lock);
}

void gw_session_copy_counters(const struct gw_session *session, struct gw_counters *out)
{
    const struct gw_counters *from = &session->account->counters;

    *out = (struct gw_counters){
        .rx_packets = gw_load(&from->rx_packets), .rx_bytes = gw_load(&from->rx_bytes),
        .tx_packets = gw_load(&from->tx_packets), .tx_bytes = gw_load(&from->tx_bytes),
        .rx_dropped = gw_load(&from->rx_dropped), .tx_dropped = gw_load(&from->tx_dropped),
        .last_data_ns = gw_load(&from->last_data_ns),
        .dtls_rx_packets = gw_load(&from->dtls_rx_packets), .dtls_rx_bytes = gw_load(&from->dtls_rx_bytes),
        .dtls_tx_packets = gw_load(&from->dtls_tx_packets), .dtls_tx_bytes = gw_load(&from->dtls_tx_bytes),
    };
}

void gw_session_table_traffic(struct gw_session_table *table, uint64_t *rx, uint64_t *tx)
{
    bool more = true;

    *rx = *tx = 0;
    for (uint32_t slot = 0; more;) {
        pthread_mutex_lock(&table->lock);
        for (uint32_t end = slot + SLOTS_READ_AT_ONCE; slot < end && slot < table->used; slot++) {
            const struct gw_session *session = &table->slots[slot];

            *rx += session->former_rx + (session->id ? gw_load(&session->account->counters.rx_bytes) : 0);
            *tx += session->former_tx + (session->id ? gw_load(&session->account->counters.tx_bytes) : 0);
        }
        more = slot < table->used;
        pthread_mutex_unlock(&table->lock);
    }
}

int gw_session_read(struct gw_session_table *table, uint64_t id, struct gw_session_config *config, struct gw_counters *counters)
{
    uint32_t slot = gw_id_slot(id);
    int status = -ENOENT;

    if (!id || slot >= table->size)
        return status;
    pthread_mutex_lock(&table->lock);
    if (table->slots[slot].id == id) {
        status = 0;
        if (config)
            *config = table->slots[slot].config;
        if (counters)
            gw_session_copy_counters(&table->slots[slot], counters);
    }
    pthread_mutex_unlock(&table->lock);
    return status;
}

struct gw_session *gw_session_find(const struct gw_session_table *table, uint64_t id, uint32_t worker)
{
    struct gw_session *session;

    if (!id || gw_id_slot(id) >= table->size)
        return NULL;
    session = &table->slots[gw_id_slot(id)];
    /* Only its home frees a slot, so an id that matches stays valid on this thread. */
    if (__atomic_load_n(&session->home, __ATOMIC_ACQUIRE) != worker)
        return NULL;
    return __atomic_load_n(&session->id, __ATOMIC_RELAXED) == id && session->open ? session : NULL;
}

uint32_t gw_session_home(const struct gw_session_table *table, uint64_t id)
{
    const struct gw_session *session = &table->slots[gw_id_slot(id) < table->size ? gw_id_slot(id) : 0];

    if (__atomic_load_n(&session->id, __ATOMIC_ACQUIRE) != id)
        return gw_id_worker(id);
    return __atomic_load_n(&session->home, __ATOMIC_ACQUIRE);
}

bool gw_session_locate(const struct gw_session_table *table, uint64_t id, uint32_t worker, uint32_t *home)
{
    const struct gw_session *session = &table->slots[gw_id_slot(id)];

    if (!id || gw_id_slot(id) >= table->size || __atomic_load_n(&session->id, __ATOMIC_ACQUIRE) != id)
        return false;
    *home = __atomic_load_n(&session->home, __ATOMIC_ACQUIRE);
    return *home != worker || !session->open;
}

void gw_session_report_alive(struct gw_event_queue *events, struct gw_session *session)
{
    struct gw_event event = { .kind = GW_SESSION_ALIVE, .session = session->id };

    session->probe_wanted = false;
    gw_event_push(events, &event, NULL, false);
}
