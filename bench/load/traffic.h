/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Traffic through open tunnels. Nothing is sent that the other end does not keep up with, unless a rate is asked for: TLS has
 * TCP for that, DTLS gets a probe (DPD) after each batch whose answer lets the next one out, and what comes down has been asked
 * for, a batch at a time, from the `source` behind the server.
 */
#ifndef BENCH_LOAD_TRAFFIC_H
#define BENCH_LOAD_TRAFFIC_H

#include "job.h"

#define TRAFFIC_FEW 8                   /* tunnels up to which each may have more batches on the way */
#define TRAFFIC_PATIENCE_US 20000       /* then what is on the way is lost */
#define TRAFFIC_RATE_BATCH 8            /* packets at once where a rate is asked for */

/* A tunnel of this thread's own; NULL if it did not open. Returns when those of all threads are there. */
struct lc_client *traffic_open(void);

/* With what ended it, 0 or negative errno, which is counted. For the end of a thread: NULL. */
void *traffic_close(struct lc_client *client, int error);

/* Seconds that `packets` take at the job's rate. */
double traffic_span(int packets);

/* Until `packets` more are due after `next`, which moves on by what they take. */
void traffic_sleep(double *next, int packets);

#endif
