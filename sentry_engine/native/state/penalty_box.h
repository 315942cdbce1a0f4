/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The penalty box: networks that are refused until a time, with the strikes of those that are sources. The key is the
 * network itself, because an operator lists and clears penalties by address.
 *
 * A full set evicts, in this order: a row that is neither in penalty nor remembered for its strikes; the remembered row that
 * expires first; the penalty that ends first. A penalty without end is never evicted. If a set holds eight of those, a ninth
 * source gets no penalty; only its sliding window still refuses it.
 */
#ifndef SENTRY_ENGINE_PENALTY_BOX_H
#define SENTRY_ENGINE_PENALTY_BOX_H

#include "plan.h"
#include "state/penalty.h"
#include "state/siphash.h"

#include <stdbool.h>

struct se_lost_networks;

/* The strikes of a source, and until when they count (ns; SE_FOREVER: without end). */
struct se_strikes {
    struct se_network source;
    uint64_t remembered_until;
    uint16_t count;
};

/* The terms of the penalty for one more violation. */
struct se_penalty_terms {
    uint64_t duration; /* ns; SE_FOREVER: without end */
    uint16_t strikes;
    bool blacklisted;
};

/* Copies the secret. Returns 0 or -ENOMEM. */
int se_penalties_open(struct se_penalties **out, const struct se_secret *secret);
void se_penalties_close(struct se_penalties *penalties);

/* The terms of the next violation of `source`. Changes nothing. */
struct se_penalty_terms se_penalty_preview(struct se_penalties *penalties, const struct se_network *source,
                                           const struct se_limit *limit, uint64_t now);

/*
 * Puts `source` in the box for violating `limit`. Escalates the penalty of an IPv6 source to its /56, /48, then /44 to /32 when
 * `escalate_after` (0: never) networks of the next narrower size are in penalty there at the same time.
 */
struct se_penalty_terms se_penalty_strike(struct se_penalties *penalties, const struct se_network *source,
                                          const struct se_limit *limit, uint64_t now, uint32_t escalate_after);

/* Puts a network in the box. Replaces its penalty, if it has one, and leaves its strikes. */
void se_penalty_put(struct se_penalties *penalties, const struct se_penalty *penalty);

/* Ends the penalties of the networks inside `network` and clears their strikes. Returns how many were in force. */
uint32_t se_penalties_clear(struct se_penalties *penalties, const struct se_network *network, uint64_t now);

/* Copies up to `room` penalties in force at `now`. Returns how many there are. */
uint32_t se_penalties_list(struct se_penalties *penalties, uint64_t now, struct se_penalty *out, uint32_t room);

/*
 * Copies up to `room` strikes that count at `now`. Returns how many there are. Restoring strikes keeps the higher count and
 * the later end if the source has strikes already.
 */
uint32_t se_penalties_strikes(struct se_penalties *penalties, uint64_t now, struct se_strikes *out, uint32_t room);
void se_penalty_restore_strikes(struct se_penalties *penalties, const struct se_strikes *strikes, uint64_t now);

/* Copies the penalty and the strikes of a network: `until` 0 and `count` 0 if it has none at `now`. */
void se_penalties_read(struct se_penalties *penalties, const struct se_network *network, uint64_t now,
                       struct se_penalty *penalty, struct se_strikes *strikes);

/*
 * The first set from `set` on with rows that changed since they were taken, or SE_PENALTY_SETS; and the networks of those
 * rows, which count as unchanged from then on. Time alone changes no row.
 */
uint32_t se_penalties_next_changed(const struct se_penalties *penalties, uint32_t set);
uint32_t se_penalties_take_changed(struct se_penalties *penalties, uint32_t set, struct se_network *out);

/*
 * The networks of the rows of a set of which a penalty or strikes have ended by `now` that had not when they were taken. Each
 * comes once for the penalty and once for the strikes, until there are some again.
 */
uint32_t se_penalties_take_ended(struct se_penalties *penalties, uint32_t set, uint64_t now, struct se_network *out);

/* The networks of rows that were cleared, or taken and then evicted. They are not among the changed ones. */
struct se_lost_networks *se_penalties_lost(struct se_penalties *penalties);

/* Rows taken, in penalty or remembered. */
uint32_t se_penalties_used(const struct se_penalties *penalties);

/* Bytes of one table: constant. */
uint64_t se_penalties_bytes(void);

#endif
