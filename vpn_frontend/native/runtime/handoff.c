/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "runtime/handoff.h"

#include <stdlib.h>
#include <string.h>

#define ENTRY_HEADER 12u            /* session id (8 bytes), size (4 bytes); then the packet */

/* Packets lost between workers are counted by reason only: their session belongs to the other worker. */
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
    worker->pacing.turn++;          /* counted by both workers: the links of a busy one rest, and batches form */
}

size_t gw_handoff_next(const struct gw_batch *batch, size_t *at, uint64_t *session, uint8_t *packet)
{
    uint32_t size;

    if (*at >= batch->size)
        return 0;
    memcpy(session, batch->data + *at, 8);
    memcpy(&size, batch->data + *at + 8, 4);
    memcpy(packet, batch->data + *at + ENTRY_HEADER, size);
    *at += ENTRY_HEADER + size;
    return size;
}
