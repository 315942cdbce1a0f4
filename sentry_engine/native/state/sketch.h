/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Limits on sources that may be spoofed: a count-min sketch (Cormode, Muthukrishnan 2005) of leaky buckets, keyed by the
 * secret. It has no rows, so a flood can evict nothing from it or from the tables of verified sources.
 *
 * A cell holds the time at which its bucket will be empty. A source's bucket is the lowest of its four cells, and adding
 * raises only the cells below the new level (conservative update). A source is never counted too low, and too high only if
 * other sources share all four of its cells.
 *
 * N events at one instant pass and the next one does not; then one more passes for each window / N. So a source that spreads
 * its events passes at most 2 N - 1 in a window.
 *
 * An excess with a penalty refuses further unverified events of that source and event until the penalty ends. Verified
 * requests of the address are not affected, since a spoofer could lock out any address. At most
 * SE_SKETCH_PENALTIES_PER_SECOND begin in a second; further excesses are refused without one. So a flood cannot fill the cells
 * and lock out other sources (at 64 a second for a minute: two in 100 000).
 */
#ifndef SENTRY_ENGINE_SKETCH_H
#define SENTRY_ENGINE_SKETCH_H

#include "plan.h"

#include <stdbool.h>

#define SE_SKETCH_PENALTIES_PER_SECOND 64u

struct se_sketch;

/* Returns 0 or -ENOMEM. */
int se_sketch_open(struct se_sketch **out);
void se_sketch_close(struct se_sketch *sketch);

/*
 * ns until one more event passes of the (source, event) with this keyed hash; 0: now. With `count`, an event that passes is
 * counted, and an excess begins its penalty.
 */
uint64_t se_sketch_wait(struct se_sketch *sketch, uint64_t hash, const struct se_limit *limit, uint64_t now, bool count);

/* Empties the cells of a (source, event). */
void se_sketch_clear(struct se_sketch *sketch, uint64_t hash);

/* Bytes of one sketch: constant. */
uint64_t se_sketch_bytes(void);

#endif
