/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Limits on sources that may be spoofed: a count-min sketch (Cormode, Muthukrishnan 2005) of leaky buckets, keyed by the
 * secret. It has no rows, so no flood can push anything out of it or out of the tables of verified sources.
 *
 * A cell holds the time at which the bucket of whoever shares it will be empty; time itself drains it. A source's bucket is
 * the lowest of its four cells, and adding raises only cells below the new level (conservative update). So a source is
 * never counted too low, and too high only when strangers share all four of its cells.
 *
 * What "the first N per window" means here: N at one instant pass and the N+1st does not; after that one more passes for
 * each window / N that goes by, so a source that spreads its events passes at most 2 N - 1 in a window.
 *
 * An excess with a penalty refuses further unverified events of that source and event until the penalty ends; verified
 * requests of the same address are not touched, or a spoofer could lock out whom he likes. At most
 * SE_SKETCH_PENALTIES_PER_SECOND begin in a second: beyond that an excess is only refused, so that a flood cannot fill the
 * cells of the deadlines and lock out strangers (at 64 a second for a minute: two in 100 000).
 */
#ifndef SENTRY_ENGINE_SKETCH_H
#define SENTRY_ENGINE_SKETCH_H

#include "table/policy.h"

#define SE_SKETCH_PENALTIES_PER_SECOND 64u

struct se_sketch;

/* Returns 0 or -ENOMEM. */
int se_sketch_open(struct se_sketch **out);
void se_sketch_close(struct se_sketch *sketch);

/*
 * ns until one more event of the (source, event) with this secret hash passes, 0 if it passes now. With `count` it is
 * counted where it passes, and an excess begins its penalty.
 */
uint64_t se_sketch_ask(struct se_sketch *sketch, uint64_t hash, const struct se_limit *limit, uint64_t now, bool count);

/* Empties the cells of one (source, event). */
void se_sketch_forget(struct se_sketch *sketch, uint64_t hash);

/* Bytes of one table, the same from the first source to the last. */
uint64_t se_sketch_bytes(void);

#endif
