/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "runtime/handoff.h"

#include "tunnel/cstp_channel.h"
#include "packet/inner_packet.h"

#include <stdlib.h>
#include <string.h>

#define BATCHES_KEPT 64u            /* free batches the pool keeps: 8 MiB */
#define ENTRY_HEADER 12u           /* session id, size */

struct gw_batch *gw_batch_take(struct gw_batch_pool *pool)
{
    struct gw_batch *batch;

    pthread_mutex_lock(&pool->lock);
    batch = pool->free;
    if (batch) {
        pool->free = batch->next;
        pool->count--;
    }
    pthread_mutex_unlock(&pool->lock);
    if (!batch)
        batch = malloc(sizeof(*batch));
    if (batch)
        batch->size = 0;
    return batch;
}

void gw_batch_give(struct gw_batch_pool *pool, struct gw_batch *batch)
{
    pthread_mutex_lock(&pool->lock);
    if (pool->count < BATCHES_KEPT) {
        batch->next = pool->free;
        pool->free = batch;
        pool->count++;
        batch = NULL;
    }
    pthread_mutex_unlock(&pool->lock);
    free(batch);
}

void gw_batch_pool_free(struct gw_batch_pool *pool)
{
    while (pool->free) {
        struct gw_batch *batch = pool->free;

        pool->free = batch->next;
        free(batch);
    }
}

/* Packets that are lost between workers are counted by reason only: their session belongs to the other one. */
static void post(struct gw_worker *worker, uint32_t to)
{
    struct gw_batch *batch = worker->outgoing[to];
    struct gw_message *message = gw_message_new(GW_MSG_BATCH, NULL, 0);

    worker->outgoing[to] = NULL;
    if (message) {
        message->object = batch;
        if (gw_mailbox_post(&worker->gateway->workers[to]->mailbox, message) == 0)
            return;
        free(message);
    }
    gw_count(worker, GW_STAT_tx_mailbox_full);
    gw_batch_give(&worker->gateway->batches, batch);
}

void gw_handoff_flush(struct gw_worker *worker)
{
    for (uint32_t i = 0; i < worker->gateway->config.workers; i++)
        if (worker->outgoing[i])
            post(worker, i);
}

void gw_handoff_add(struct gw_worker *worker, uint32_t to, uint64_t session, const uint8_t *packet, size_t size)
{
    struct gw_batch *batch = worker->outgoing[to];
    uint32_t length = (uint32_t)size;

    if (batch && GW_BATCH_SIZE - batch->size < ENTRY_HEADER + size) {
        post(worker, to);
        batch = NULL;
    }
    if (!batch)
        batch = worker->outgoing[to] = gw_batch_take(&worker->gateway->batches);
    if (!batch) {
        gw_count(worker, GW_STAT_tx_mailbox_full);
        return;
    }
    memcpy(batch->data + batch->size, &session, 8);
    memcpy(batch->data + batch->size + 8, &length, 4);
    memcpy(batch->data + batch->size + ENTRY_HEADER, packet, size);
    batch->size += ENTRY_HEADER + size;
    worker->pacing.turn++;            /* both workers rest when they are busy, so that batches form */
}

void gw_downlink_take_batch(struct gw_worker *worker, struct gw_batch *batch)
{
    uint8_t *packet = worker->packet + GW_HEADROOM;

    for (size_t at = 0; at < batch->size;) {
        struct gw_session *session;
        struct gw_inner inner;
        uint32_t size, home;
        uint64_t id;

        memcpy(&id, batch->data + at, 8);
        memcpy(&size, batch->data + at + 8, 4);
        memcpy(packet, batch->data + at + ENTRY_HEADER, size);
        at += ENTRY_HEADER + size;
        session = gw_session_find(worker, id);
        if (session && gw_inner_read(packet, size, &inner) != GW_STAT_rx_malformed)
            gw_downlink_deliver(worker, session, packet, size, inner.control);
        else if (!session && gw_session_locate(worker, id, &home))
            gw_handoff_add(worker, home, id, packet, size);
        else
            gw_count(worker, GW_STAT_tx_no_session);
    }
    gw_batch_give(&worker->gateway->batches, batch);
}
