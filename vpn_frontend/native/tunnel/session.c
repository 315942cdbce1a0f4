/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tunnel/session.h"

#include "tunnel/cstp_channel.h"
#include "dtls/channel.h"
#include "runtime/dpd.h"
#include "runtime/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int gw_session_table_init(struct gw_session_table *table, uint32_t size)
{
    table->slots = calloc(size, sizeof(*table->slots));
    if (!table->slots)
        return -ENOMEM;
    for (uint32_t i = 0; i < size; i++) {
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
    table->slots = NULL;
}

uint64_t gw_session_reserve(struct gw_session_table *table, uint32_t worker, const struct gw_session_config *config)
{
    uint64_t id = 0;

    pthread_mutex_lock(&table->lock);
    if (table->free < table->size) {
        uint32_t slot = table->free;
        struct gw_session *session = &table->slots[slot];

        table->free = session->next_free;
        id = gw_id(session->generation, slot, worker);
        session->config = *config;
        session->open = false;
        session->moved = 0;
        memset(&session->counters, 0, sizeof(session->counters));
        __atomic_store_n(&session->home, worker, __ATOMIC_RELAXED);
        __atomic_store_n(&session->id, id, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&table->lock);
    return id;
}

void gw_session_release(struct gw_session_table *table, struct gw_session *session)
{
    pthread_mutex_lock(&table->lock);
    __atomic_store_n(&session->id, 0, __ATOMIC_RELAXED);
    session->generation++;
    session->next_free = table->free;
    table->free = (uint32_t)(session - table->slots);
    pthread_mutex_unlock(&table->lock);
}

static void copy_counters(const struct gw_session *session, struct gw_counters *out)
{
    const struct gw_counters *from = &session->counters;

    *out = (struct gw_counters){
        .rx_packets = gw_load(&from->rx_packets), .rx_bytes = gw_load(&from->rx_bytes),
        .tx_packets = gw_load(&from->tx_packets), .tx_bytes = gw_load(&from->tx_bytes),
        .rx_dropped = gw_load(&from->rx_dropped), .tx_dropped = gw_load(&from->tx_dropped),
        .last_data_ns = gw_load(&from->last_data_ns),
        .dtls_rx_packets = gw_load(&from->dtls_rx_packets), .dtls_rx_bytes = gw_load(&from->dtls_rx_bytes),
        .dtls_tx_packets = gw_load(&from->dtls_tx_packets), .dtls_tx_bytes = gw_load(&from->dtls_tx_bytes),
    };
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
            copy_counters(&table->slots[slot], counters);
    }
    pthread_mutex_unlock(&table->lock);
    return status;
}

struct gw_session *gw_session_find(struct gw_worker *worker, uint64_t id)
{
    struct gw_session_table *table = &worker->gateway->sessions;
    struct gw_session *session;

    if (!id || gw_id_slot(id) >= table->size)
        return NULL;
    session = &table->slots[gw_id_slot(id)];
    /* Only its home gives a slot back, so an id that matches cannot go away while we look. */
    if (__atomic_load_n(&session->home, __ATOMIC_ACQUIRE) != worker->index)
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

bool gw_session_locate(const struct gw_worker *worker, uint64_t id, uint32_t *home)
{
    const struct gw_session_table *table = &worker->gateway->sessions;
    const struct gw_session *session = &table->slots[gw_id_slot(id)];

    if (!id || gw_id_slot(id) >= table->size || __atomic_load_n(&session->id, __ATOMIC_ACQUIRE) != id)
        return false;
    *home = __atomic_load_n(&session->home, __ATOMIC_ACQUIRE);
    return *home != worker->index || !session->open;
}

void gw_session_enlist(struct gw_worker *worker, struct gw_session *session)
{
    session->previous = NULL;
    session->next = worker->sessions;
    if (worker->sessions)
        worker->sessions->previous = session;
    worker->sessions = session;
}

void gw_session_delist(struct gw_worker *worker, struct gw_session *session)
{
    if (session->previous)
        session->previous->next = session->next;
    else
        worker->sessions = session->next;
    if (session->next)
        session->next->previous = session->previous;
}

void gw_session_begin(struct gw_worker *worker, uint64_t id)
{
    struct gw_session *session = &worker->gateway->sessions.slots[gw_id_slot(id)];

    session->open = true;
    session->channel = NULL;
    session->dtls = NULL;
    session->idle_told = session->asked = false;
    session->mtu = session->config.mtu;
    session->told_too_big = 0;
    session->told_second = 0;
    session->heard = session->probed = session->used = worker->now;
    gw_session_enlist(worker, session);
}

void gw_session_lost_channel(struct gw_worker *worker, struct gw_session *session, enum gw_cause cause,
                             const uint8_t *farewell, size_t size)
{
    struct gw_event event = {
        .kind = GW_CHANNEL_DOWN, .cause = cause, .connection = session->channel->id, .session = session->id,
        .data_size = (uint32_t)size,
    };

    session->channel->session = NULL;
    session->channel = NULL;
    if (cause == GW_CAUSE_PEER_DISCONNECT)
        gw_dtls_drop(worker, session, cause);
    copy_counters(session, &event.counters);
    if (gw_event_push(&worker->gateway->events, &event, farewell, false) == -ENOMEM) {
        event.data_size = 0;        /* the end itself has to be told; its text only where memory allows */
        gw_event_push(&worker->gateway->events, &event, NULL, false);
    }
}

void gw_session_end(struct gw_worker *worker, struct gw_session *session, const uint8_t *frame, size_t size)
{
    struct gw_event event = { .kind = GW_SESSION_CLOSED, .cause = GW_CAUSE_LOCAL, .session = session->id };
    struct gw_connection *connection = session->channel;

    if (connection) {
        connection->session = NULL;
        session->channel = NULL;
        if (gw_connection_write(connection, frame, size) == 0)
            gw_connection_finish(connection);
    } else if (size >= GW_CSTP_HEADER) {
        gw_dtls_send_control(session, frame[6], frame + GW_CSTP_HEADER, size - GW_CSTP_HEADER);
    }
    gw_dtls_forget(worker, session);
    gw_session_delist(worker, session);
    session->open = false;
    copy_counters(session, &event.counters);
    gw_session_release(&worker->gateway->sessions, session);    /* who hears of the end finds the place free */
    gw_event_push(&worker->gateway->events, &event, NULL, false);
}

static void probe(struct gw_worker *worker, struct gw_session *session)
{
    session->probed = worker->now;
    gw_count(worker, GW_STAT_dpd_sent);
    if (gw_cstp_send_control(session->channel, GW_FRAME_DPD_REQUEST, NULL, 0) == 0)
        gw_connection_flush(session->channel);
}

void gw_session_report_alive(struct gw_worker *worker, struct gw_session *session)
{
    struct gw_event event = { .kind = GW_SESSION_ALIVE, .session = session->id };

    session->asked = false;
    gw_event_push(&worker->gateway->events, &event, NULL, false);
}

void gw_session_probe(struct gw_worker *worker, struct gw_session *session)
{
    uint64_t heard = gw_dtls_heard(session->dtls);

    if (session->channel && session->heard > heard)
        heard = session->heard;
    if (worker->now - heard < GW_ALIVE_FOR) {
        gw_session_report_alive(worker, session);
        return;
    }
    if (session->asked && worker->now - session->probed < GW_SECOND)
        return;                     /* the same question, on its way already */
    session->asked = true;
    gw_dtls_send_control(session, GW_FRAME_DPD_REQUEST, NULL, 0);
    if (session->channel)
        probe(worker, session);
}

static void watch_peer(struct gw_worker *worker, struct gw_session *session)
{
    if (!session->channel)
        return;
    switch (gw_dpd(worker->now, session->heard, session->probed, session->config.dpd_s * GW_SECOND)) {
    case GW_DPD_DEAD:
        gw_count(worker, GW_STAT_channels_dead);
        gw_connection_end(session->channel, GW_CAUSE_DPD);
        break;
    case GW_DPD_PROBE:
        probe(worker, session);
        break;
    case GW_DPD_OK:
        break;
    }
}

static void watch_keys(struct gw_worker *worker, struct gw_session *session)
{
    uint64_t life = session->config.rekey_s * GW_SECOND;

    if (!session->channel || !life || worker->now - session->rekeyed < life)
        return;
    session->rekeyed = worker->now;
    if (gw_tls_rekey(session->channel->ssl))
        return;                     /* TLS 1.2 gets new keys with a new tunnel, which the client starts */
    gw_count(worker, GW_STAT_rekeys);
    gw_connection_flush(session->channel);
}

static void watch_use(struct gw_worker *worker, struct gw_session *session)
{
    struct gw_event event = { .kind = GW_SESSION_IDLE, .session = session->id };

    if (!session->config.idle_s || session->idle_told || worker->now - session->used < session->config.idle_s * GW_SECOND)
        return;
    session->idle_told = true;
    gw_event_push(&worker->gateway->events, &event, NULL, false);
}

void gw_sessions_tick(struct gw_worker *worker)
{
    for (struct gw_session *session = worker->sessions; session; session = session->next) {
        watch_peer(worker, session);
        gw_dtls_tick(worker, session);
        watch_keys(worker, session);
        watch_use(worker, session);
    }
}
