/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What one run of the load client is to do, and what its threads have done so far. Every mode is the body of a thread.
 */
#ifndef BENCH_LOAD_JOB_H
#define BENCH_LOAD_JOB_H

#include "client.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <time.h>

#define PACKET 1300                     /* bytes of one inner packet */
#define BATCH 32                        /* packets per send, and per answer of a source */

struct job {
    struct lc_target target;
    struct lc_contexts contexts;
    _Atomic double deadline;            /* monotonic seconds */
    long quota;                         /* tunnels to hold */
    int threads;
    double rate;                        /* Mbit/s of one tunnel; 0: as fast as it goes */
    uint32_t inner;                     /* the server's address inside, network order */
    uint16_t port;                      /* inner UDP port that packets go to */
    sem_t door;                         /* as many may log in at once as servers let one user */
    pthread_barrier_t ready;            /* tunnels are open: traffic begins everywhere at once */
    atomic_long count, failed, bytes, asked, taken, opened;
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

/* Opens so far, counting and closing on failure. 0 or negative errno. */
int job_open_client(struct lc_client *client, enum job_depth depth);

void *run_cycles(void *depth);          /* cycles.c: opens and closes; enum job_depth * */
void *run_hold(void *unused);           /* cycles.c */
void *run_push(void *unused);           /* traffic.c */
void *run_pull(void *reads);            /* pull.c; int *: whether what comes is read at all */
void *run_source(void *unused);         /* datagrams.c */
void *run_hello(void *unused);          /* datagrams.c */

#endif
