/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Downloads: packets are requested, and read or left unread.
 */
#include "packets.h"
#include "traffic.h"

#include <errno.h>
#include <stdlib.h>

#define DRAIN_US 200000                 /* without a packet, after which none is in flight */

/* Batches in flight per tunnel: together they fit a TUN device's queue. */
static int window(void)
{
    return job.threads > TRAFFIC_FEW ? 2 : 12;
}

/* Requests `packets` from the source. */
static int ask(struct lc_client *client, uint8_t *packet, uint8_t packets)
{
    int error;

    packet[28] = packets;
    error = lc_push(client, LC_DATA, packet, 29);
    if (error)
        return error;
    atomic_fetch_add(&job.asked, packets);
    return lc_flush(client);
}

static int take(struct lc_client *client, uint8_t *room)
{
    const uint8_t *payload;
    size_t size;
    int type = lc_pull(client, room, LC_BUFFER, &payload, &size);

    if (type == LC_DATA) {
        atomic_fetch_add(&job.count, 1);
        atomic_fetch_add(&job.bytes, (long)size);
    }
    return type;
}

/* Requested packets count, even if they arrive after the end. */
static void drain(struct lc_client *client, uint8_t *room)
{
    lc_set_timeout(client, DRAIN_US);
    while (take(client, room) >= 0)
        ;
}

/* Requests at the job's rate; reads in between, or never. */
static int pull_at_rate(struct lc_client *client, uint8_t *packet, uint8_t *room, int reads)
{
    double next = now();
    int error = 0;

    lc_set_timeout(client, (long)(traffic_span(TRAFFIC_RATE_BATCH) * 1e6) + 1);
    while (!error && !over()) {
        if (!reads)
            traffic_sleep(&next, TRAFFIC_RATE_BATCH);
        else if (next <= now())
            next += traffic_span(TRAFFIC_RATE_BATCH);
        else {
            error = take(client, room);
            error = error < 0 && error != -EAGAIN ? error : 0;
            continue;
        }
        error = ask(client, packet, TRAFFIC_RATE_BATCH);
        if (!reads && error)            /* the server ended the session, as expected */
            return 0;
    }
    if (reads && !error)
        drain(client, room);
    return error;
}

static int pull_all(struct lc_client *client, uint8_t *packet, uint8_t *room)
{
    long got = 0;
    int type = -EAGAIN, error = 0;

    lc_set_timeout(client, TRAFFIC_TIMEOUT_US);
    while (!error && !over()) {
        if (type == -EAGAIN)            /* nothing requested, or lost */
            for (int i = 0; i < window() && !error; i++)
                error = ask(client, packet, BATCH);
        if (error)
            break;
        type = take(client, room);
        if (type == LC_DATA && ++got % BATCH == 0)
            error = ask(client, packet, BATCH);
        else if (type < 0 && type != -EAGAIN)
            error = type;
    }
    return error;
}

void *run_pull(void *reads)
{
    uint8_t frame[LC_HEADROOM + 32], *room = malloc(LC_BUFFER);
    struct lc_client *client = traffic_open();
    int error;

    if (!client || !room) {
        free(room);
        return NULL;
    }
    packet_fill(frame + LC_HEADROOM, 29, client->inner_ipv4);
    if (job.rate > 0)
        error = pull_at_rate(client, frame + LC_HEADROOM, room, *(int *)reads);
    else
        error = pull_all(client, frame + LC_HEADROOM, room);
    free(room);
    return traffic_close(client, error);
}
