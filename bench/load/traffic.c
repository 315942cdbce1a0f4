/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Traffic through open tunnels. Nothing is sent that the other end does not keep up with, unless a rate is asked for: TLS has
 * TCP for that, DTLS gets a probe (DPD) after each batch whose answer lets the next one out, and what comes down has been asked
 * for, a batch at a time, from the `source` behind the server.
 */
#include "job.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FEW 8                           /* tunnels up to which each may have more batches on the way */
#define PATIENCE_US 20000               /* then what is on the way is lost */
#define RATE_BATCH 8                    /* packets at once where a rate is asked for */
#define MAX_LAG 0.05                    /* seconds behind its rate that a sender makes up for */
#define DRAIN_US 200000                 /* without a packet, until none is on its way any more */

/* Batches of a tunnel on the way: up, no more than fit the receive buffer of a server that leaves it as it is; down, no more
 * packets than fit a TUN device's queue. Up they are twice as large, since each costs both ends a probe, an answer and a wait. */
static int window(int up)
{
    if (up)
        return job.threads > FEW ? 1 : 2;
    return job.threads > FEW ? 2 : 12;
}

/* Of an even number of bytes, added to `sum`. */
static uint16_t checksum(uint32_t sum, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i + 1 < size; i += 2)
        sum += (uint32_t)(data[i] << 8 | data[i + 1]);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static void store16(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

/* IPv4 and UDP without a checksum, to the job's port of the server's inner address. */
static void fill_packet(uint8_t *packet, uint16_t size, uint32_t source)
{
    uint16_t port = job.port;

    memset(packet, 0x5a, size);
    memcpy(packet, (uint8_t[]){ 0x45, 0, (uint8_t)(size >> 8), (uint8_t)size, 0, 0, 0x40, 0, 64, 17, 0, 0 }, 12);
    memcpy(packet + 12, &source, 4);
    memcpy(packet + 16, &job.inner, 4);
    store16(packet + 10, checksum(0, packet, 20));
    size = (uint16_t)(size - 20);
    memcpy(packet + 20, (uint8_t[]){ 0x30, 0x39, (uint8_t)(port >> 8), (uint8_t)port, (uint8_t)(size >> 8), (uint8_t)size, 0, 0 },
           8);
}

/* Servers may merge datagrams only if they are as a kernel sends them: with a checksum of UDP, which a payload that stays the
 * same keeps, ... */
static void sign(uint8_t *packet)
{
    store16(packet + 26, checksum(IPPROTO_UDP + PACKET - 20, packet + 12, PACKET - 12));
}

/* ... and numbered one after the other, as those of a connected socket are. */
static void number(uint8_t *packet, uint16_t identification)
{
    store16(packet + 4, identification);
    store16(packet + 10, 0);
    store16(packet + 10, checksum(0, packet, 20));
}

/* A tunnel of this thread's own; NULL if it did not open. Returns when those of all threads are there. */
static struct lc_client *open_tunnel(void)
{
    struct lc_client *client = malloc(sizeof *client);

    sem_wait(&job.door);
    if (client && job_open_client(client, DEPTH_TUNNEL)) {
        free(client);
        client = NULL;
    }
    sem_post(&job.door);
    if (client)
        atomic_fetch_add(&job.opened, 1);
    pthread_barrier_wait(&job.ready);
    return client;
}

static void *close_tunnel(struct lc_client *client, int error)
{
    if (error)
        atomic_fetch_add(&job.failed, 1);
    lc_goodbye(client);
    lc_close(client);
    free(client);
    return NULL;
}

/* Seconds that `packets` take at the job's rate. */
static double span(int packets)
{
    return packets * PACKET * 8 / (job.rate * 1e6);
}

static void sleep_until(double *next, int packets)
{
    struct timespec wake;

    *next += span(packets);
    if (*next < now() - MAX_LAG)
        *next = now();
    wake = (struct timespec){ (time_t)*next, (long)((*next - (double)(time_t)*next) * 1e9) };
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &wake, NULL);
}

/* Until fewer than `most` batches are on the way, or none is to be hoped for. */
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
    struct lc_client *client = open_tunnel();
    int clocked = client && client->channel && job.rate <= 0, batch = job.rate > 0 ? RATE_BATCH : clocked ? 2 * BATCH : BATCH;
    int on_the_way = 0, error = 0;
    uint16_t numbered = 0;
    double next = now();

    (void)unused;
    if (!client)
        return NULL;
    lc_set_patience(client, PATIENCE_US);
    fill_packet(frame + LC_HEADROOM, PACKET, client->inner_ipv4);
    sign(frame + LC_HEADROOM);
    while (!error && !over()) {
        for (int i = 0; i < batch && !error; i++) {
            number(frame + LC_HEADROOM, numbered++);
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
        if (clocked && ++on_the_way >= window(1))
            error = await_answers(client, room, &on_the_way, window(1));
        if (job.rate > 0)
            sleep_until(&next, batch);
    }
    return close_tunnel(client, error);
}

/* Asks the source for `packets`. */
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
    int type = lc_pull(client, room, LC_BOX, &payload, &size);

    if (type == LC_DATA) {
        atomic_fetch_add(&job.count, 1);
        atomic_fetch_add(&job.bytes, (long)size);
    }
    return type;
}

/* What has been asked for counts, though it comes behind the end. */
static void drain(struct lc_client *client, uint8_t *room)
{
    lc_set_patience(client, DRAIN_US);
    while (take(client, room) >= 0)
        ;
}

/* Asks at its rate, and either reads in between or never. */
static int pull_at_rate(struct lc_client *client, uint8_t *packet, uint8_t *room, int reads)
{
    double next = now();
    int error = 0;

    lc_set_patience(client, (long)(span(RATE_BATCH) * 1e6) + 1);
    while (!error && !over()) {
        if (!reads)
            sleep_until(&next, RATE_BATCH);
        else if (next <= now())
            next += span(RATE_BATCH);
        else {
            error = take(client, room);
            error = error < 0 && error != -EAGAIN ? error : 0;
            continue;
        }
        error = ask(client, packet, RATE_BATCH);
        if (!reads && error)            /* given up by the server: as it should */
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

    lc_set_patience(client, PATIENCE_US);
    while (!error && !over()) {
        if (type == -EAGAIN)            /* nothing asked for, or lost */
            for (int i = 0; i < window(0) && !error; i++)
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
    uint8_t frame[LC_HEADROOM + 32], *room = malloc(LC_BOX);
    struct lc_client *client = open_tunnel();
    int error;

    if (!client || !room) {
        free(room);
        return NULL;
    }
    fill_packet(frame + LC_HEADROOM, 29, client->inner_ipv4);
    if (job.rate > 0)
        error = pull_at_rate(client, frame + LC_HEADROOM, room, *(int *)reads);
    else
        error = pull_all(client, frame + LC_HEADROOM, room);
    free(room);
    return close_tunnel(client, error);
}
