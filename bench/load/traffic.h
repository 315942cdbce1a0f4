/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Traffic through open tunnels. Without a rate, senders do not overrun their receiver. TLS has TCP's flow control. Over DTLS a
 * probe (DPD) follows each batch, and its answer allows the next. Downloads are requested in batches from the `source` behind
 * the server.
 */
#ifndef BENCH_LOAD_TRAFFIC_H
#define BENCH_LOAD_TRAFFIC_H

#include "job.h"

#define TRAFFIC_FEW 8                   /* number of tunnels up to which each may have more batches in flight */
#define TRAFFIC_TIMEOUT_US 20000       /* then batches in flight count as lost */
#define TRAFFIC_RATE_BATCH 8            /* packets per send at a given rate */

/* Opens this thread's tunnel; NULL on failure. Returns when the tunnels of all threads are open. */
struct lc_client *traffic_open(void);

/* Closes the tunnel and counts `error` (0 or a negative errno). Returns NULL, the result of a thread. */
void *traffic_close(struct lc_client *client, int error);

/* Returns the seconds that `packets` take at the job's rate. */
double traffic_span(int packets);

/* Sleeps until `packets` more are due after `next`, and advances `next`. */
void traffic_sleep(double *next, int packets);

#endif
