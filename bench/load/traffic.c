/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Tunnels with traffic, and uploads: as fast as the server accepts packets, or at a rate.
 */
#include "traffic.h"

#include "packets.h"

#include <errno.h>
#include <stdlib.h>

#define MAX_LAG 0.05                    /* seconds of backlog that a sender catches up with */

/* Batches in flight per tunnel: together they fit a default receive buffer. */
static int window(void)
{
    return job.threads > TRAFFIC_FEW ? 1 : 4;
}

/* Packets per batch. Each batch costs both ends a probe, an answer and a wait. With many tunnels, of which some always send,
 * batches are larger. */
static int stride(void)
{
    return job.threads > TRAFFIC_FEW ? 2 * BATCH : BATCH;
}

struct lc_client *traffic_open(void)
{
    struct lc_client *client = malloc(sizeof *client);

    sem_wait(&job.logins);
    if (client && job_open_client(client, DEPTH_TUNNEL)) {
        free(client);
        client = NULL;
    }
    sem_post(&job.logins);
    if (client)
        atomic_fetch_add(&job.opened, 1);
    pthread_barrier_wait(&job.ready);
    return client;
}

void *traffic_close(struct lc_client *client, int error)
{
    if (error)
        atomic_fetch_add(&job.failed, 1);
    lc_disconnect(client);
    lc_close(client);
    free(client);
    return NULL;
}

double traffic_span(int packets)
{
    return packets * PACKET * 8 / (job.rate * 1e6);
}

void traffic_sleep(double *next, int packets)
{
    struct timespec wake;

    *next += traffic_span(packets);
    if (*next < now() - MAX_LAG)
        *next = now();
    wake = (struct timespec){ (time_t)*next, (long)((*next - (double)(time_t)*next) * 1e9) };
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &wake, NULL);
}

/* Waits until fewer than `most` batches are in flight, or all of them count as lost. */
static int await_answers(struct lc_client *client, uint8_t *room, int *on_the_way, int most)
{
    const uint8_t *payload;
    size_t size;

    while (*on_the_way >= most && !over()) {
        int type = lc_pull(client, room, LC_PAYLOAD_MAX, &payload, &size);

        if (type == -EAGAIN)
            *on_the_way = 0;
        else if (type < 0)
            return type;
        else if (type == LC_DPD_RESPONSE)
            (*on_the_way)--;
    }
    return 0;
}

void *run_push(void *unused)
{
    uint8_t frame[LC_HEADROOM + PACKET], probe[LC_HEADROOM + 4] = { 0 }, room[LC_PAYLOAD_MAX];
    struct lc_client *client = traffic_open();
    int clocked = client && client->channel && job.rate <= 0;
    int batch = job.rate > 0 ? TRAFFIC_RATE_BATCH : clocked ? stride() : BATCH;
    int on_the_way = 0, error = 0;
    uint16_t numbered = 0;
    double next = now();

    (void)unused;
    if (!client)
        return NULL;
    lc_set_timeout(client, TRAFFIC_TIMEOUT_US);
    packet_fill(frame + LC_HEADROOM, PACKET, client->inner_ipv4);
    packet_sign(frame + LC_HEADROOM);
    while (!error && !over()) {
        for (int i = 0; i < batch && !error; i++) {
            packet_number(frame + LC_HEADROOM, numbered++);
            error = lc_push(client, LC_DATA, frame + LC_HEADROOM, PACKET);
        }
        if (!error && clocked)
            error = lc_push(client, LC_DPD_REQUEST, probe + LC_HEADROOM, sizeof probe - LC_HEADROOM);
        if (!error)
            error = lc_flush(client);
        if (error)
            break;
        atomic_fetch_add(&job.count, batch);
        atomic_fetch_add(&job.bytes, batch * PACKET);
        if (clocked && ++on_the_way >= window())
            error = await_answers(client, room, &on_the_way, window());
        if (job.rate > 0)
            traffic_sleep(&next, batch);
    }
    return traffic_close(client, error);
}
