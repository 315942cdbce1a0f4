/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_MESSAGES 3                    /* failures that are printed; all are counted */

int job_open_client(struct lc_client *client, enum job_depth depth)
{
    int error;

    lc_init(client);
    client->login = atomic_fetch_add(&job.logins_begun, 1);
    error = lc_connect(client, &job.target);
    if (!error && depth >= DEPTH_HANDSHAKE)
        error = lc_handshake(client, &job.contexts, &job.target);
    if (!error && depth >= DEPTH_TUNNEL)
        error = lc_open_tunnel(client, &job.target);
    if (!error && depth >= DEPTH_TUNNEL && job.target.dtls)
        error = lc_open_channel(client, &job.contexts, &job.target);
    if (error) {
        if (atomic_fetch_add(&job.failed, 1) < MAX_MESSAGES)
            fprintf(stderr, "load: %s\n", strerror(-error));
        lc_close(client);
    }
    return error;
}

/* Of the first MAX_SPANS clients of a run; more are not needed for a percentile. */
static void note_span(double seconds)
{
    long number = atomic_fetch_add(&job.timed, 1);

    if (number < MAX_SPANS)
        job.spans[number] = seconds;
}

static int compare_spans(const void *one, const void *other)
{
    double a = *(const double *)one, b = *(const double *)other;

    return (a > b) - (a < b);
}

double job_percentile(double share)
{
    long known = job.timed < MAX_SPANS ? job.timed : MAX_SPANS;

    if (!known)
        return 0.0;
    qsort(job.spans, (size_t)known, sizeof *job.spans, compare_spans);
    return job.spans[(long)(share * (double)(known - 1))];
}

void *run_cycles(void *depth)
{
    struct lc_client *client = malloc(sizeof *client);

    while (client && !over()) {
        double began = now();

        if (job_open_client(client, *(enum job_depth *)depth))
            continue;
        note_span(now() - began);
        if (*(enum job_depth *)depth >= DEPTH_TUNNEL)
            lc_disconnect(client);
        lc_close(client);
        atomic_fetch_add(&job.count, 1);
    }
    free(client);
    return NULL;
}

/* One probe over DTLS, as clients send it that look for the path's MTU. Only then has a server's last flight arrived for certain. */
static void confirm_channel(struct lc_client *client)
{
    uint8_t frame[LC_HEADROOM + 4] = { 0 };

    if (!lc_push(client, LC_DPD_REQUEST, frame + LC_HEADROOM, sizeof frame - LC_HEADROOM))
        lc_flush(client);
}

void *run_hold(void *unused)
{
    (void)unused;
    while (atomic_fetch_add(&job.taken, 1) < job.quota) {
        struct lc_client *client = malloc(sizeof *client);  /* lives until the process ends */

        if (!client || job_open_client(client, DEPTH_TUNNEL)) {
            free(client);
            continue;
        }
        if (client->channel)
            confirm_channel(client);
        atomic_fetch_add(&job.opened, 1);
    }
    return NULL;
}
