/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The penalty box: networks that are refused until a time, with the strikes of those that are sources. Keyed by the network
 * itself, because an operator lists and forgives by address; hashed with the secret, in sets of eight rows.
 *
 * Looking costs one atomic load for every prefix length that has penalties, and takes the lock of a set only where a tag
 * matches. All changes go one at a time under the box's own lock.
 *
 * When a set is full, a row makes room that is neither in penalty nor remembered for its strikes; else the remembered one
 * that will be forgotten first; else the penalty that ends first. A penalty without end is never given up: if a set holds
 * eight of those, a ninth source is not put in the box, and goes on being refused by its window alone.
 */
#ifndef SENTRY_ENGINE_PENALTY_H
#define SENTRY_ENGINE_PENALTY_H

#include "table/policy.h"
#include "state/siphash.h"

#define SE_PENALTY_SETS 16384u /* of 384 bytes: 131 072 rows in 6 MB */

struct se_penalties;

struct se_penalty {
    struct se_network network;
    uint64_t until;   /* ns; SE_FOREVER: without end */
    uint32_t rule;    /* number of the name in the engine's own list; UINT32_MAX: none */
    uint16_t strikes; /* which penalty of the source it is; for a widened one, how many sources it stands for */
    uint8_t reason;   /* sentry_engine.verdict.Reason */
};

/* What a source's next violation will be counted onto, and until when (ns; SE_FOREVER: without end). */
struct se_strikes {
    struct se_network source;
    uint64_t remembered_until;
    uint16_t count;
};

/* What one more violation costs. */
struct se_sentence {
    uint64_t duration; /* ns; SE_FOREVER: without end */
    uint16_t strikes;
    bool blacklisted;
};

/* The secret is copied. Returns 0 or -ENOMEM. */
int se_penalties_open(struct se_penalties **out, const struct se_secret *secret);
void se_penalties_close(struct se_penalties *penalties);

/* The penalty in force at `now` on the most specific network that holds `address`. False: none. */
bool se_penalty_find(struct se_penalties *penalties, struct se_address address, uint64_t now, struct se_penalty *found);

/* What the next violation of `source` would cost. Changes nothing. */
struct se_sentence se_penalty_foresee(struct se_penalties *penalties, const struct se_network *source,
                                      const struct se_limit *limit, uint64_t now);

/*
 * Puts `source` in the box for violating `limit`, and widens the penalty of an IPv6 source to its /56 and /48 when
 * `escalate_after` (0: never) of the next narrower size are in penalty there at a time.
 */
struct se_sentence se_penalty_strike(struct se_penalties *penalties, const struct se_network *source,
                                     const struct se_limit *limit, uint64_t now, uint32_t escalate_after);

/* Puts a network in the box, over what it has there, whatever its strikes are. */
void se_penalty_put(struct se_penalties *penalties, const struct se_penalty *penalty);

/* Ends the penalties of the networks inside `network` and forgets their strikes. Returns how many were in force. */
uint32_t se_penalties_forgive(struct se_penalties *penalties, const struct se_network *network, uint64_t now);

/* Copies up to `room` of the penalties in force at `now`; returns how many there are. */
uint32_t se_penalties_list(struct se_penalties *penalties, uint64_t now, struct se_penalty *out, uint32_t room);

/*
 * Copies up to `room` of the strikes that are still remembered at `now`; returns how many there are. Putting one back keeps
 * the higher count and the later end where the source has strikes already.
 */
uint32_t se_penalties_strikes(struct se_penalties *penalties, uint64_t now, struct se_strikes *out, uint32_t room);
void se_penalty_remember(struct se_penalties *penalties, const struct se_strikes *strikes, uint64_t now);

/* Rows taken, in penalty or remembered. */
uint32_t se_penalties_used(const struct se_penalties *penalties);

/* Bytes of one table, the same from the first source to the last. */
uint64_t se_penalties_bytes(void);

#endif
