/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Parameters and totals of one run of the load client. Every mode is the body of a thread.
 */
#ifndef BENCH_LOAD_JOB_H
#define BENCH_LOAD_JOB_H

#include "client.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <time.h>

#define PACKET 1300                     /* bytes of one inner packet */
#define MAX_SPANS 65536
#define BATCH 32                        /* packets per send, and per answer of a source */

struct job {
    struct lc_target target;
    struct lc_contexts contexts;
    _Atomic double deadline;            /* monotonic seconds */
    long quota;                         /* tunnels to hold */
    int threads;
    double rate;                        /* Mbit/s per tunnel; 0: unlimited */
    uint32_t inner;                     /* the server's inner address, network order */
    uint16_t port;                      /* destination port of inner packets */
    sem_t logins;                       /* limits concurrent logins to what servers allow one user */
    pthread_barrier_t ready;            /* traffic begins when all tunnels are open */
    atomic_long logins_begun, count, failed, bytes, asked, taken, opened, timed;
    double spans[MAX_SPANS];            /* seconds until a client of `run_cycles` was open */
    atomic_int stopped;
};

extern struct job job;

static inline double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static inline int over(void)
{
    return atomic_load(&job.stopped) || now() >= job.deadline;
}

enum job_depth { DEPTH_CONNECT, DEPTH_HANDSHAKE, DEPTH_TUNNEL };

/* Opens a client up to `depth`. On failure counts it and closes the client. Returns 0 or a negative errno. */
int job_open_client(struct lc_client *client, enum job_depth depth);

void *run_cycles(void *depth);          /* cycles.c; enum job_depth * */
double job_percentile(double share);    /* cycles.c; seconds, of the spans; no thread runs any more. 0: there are none */
void *run_hold(void *unused);           /* cycles.c */
void *run_push(void *unused);           /* traffic.c */
void *run_pull(void *reads);            /* pull.c; int *: whether received packets are read */
void *run_source(void *unused);         /* datagrams.c */
void *run_hello(void *unused);          /* datagrams.c */

#endif
