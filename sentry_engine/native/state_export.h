/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The state of sources, listed, changed by an operator, and carried to the next core: penalties, strikes, and the events
 * that are still in their windows. A source is named by its network, since each core hashes with a secret of its own.
 *
 * Times are seconds of the caller's clock. They may be negative: an event may be older than the clock, after a reboot. The
 * sketch of unverified sources is not exported: its counts may be spoofed, and expire within a window.
 *
 * cffi reads this header (cffi_headers.py).
 */
#ifndef SENTRY_ENGINE_STATE_EXPORT_H
#define SENTRY_ENGINE_STATE_EXPORT_H

#include "core.h"

#include <stdbool.h>

#define SE_NO_MORE_SETS 0xffffffffu
#define SE_MIN_BURST_ROOM 96u /* bursts of one set of the sliding windows: eight rows of twelve */

/* Puts a network, masked to `length`, in the penalty box. `until` may be inf. */
void se_core_penalize(struct se_core *core, const uint8_t network[16], uint8_t length, double until, uint8_t reason, uint32_t kept_rule);

/* Ends the penalties inside a network and clears its windows and strikes. Returns how many penalties were in force. */
uint32_t se_core_clear_penalties(struct se_core *core, const uint8_t network[16], uint8_t length, double now);

/* Removes up to `points` of the newest events `event` from the window of the source of `address`. */
void se_core_pay_back(struct se_core *core, const uint8_t address[16], uint32_t event, uint32_t points);

struct se_penalty_row {
    uint8_t network[16];
    double until; /* inf: without end */
    uint32_t kept_rule;
    uint16_t strikes;
    uint8_t length, reason;
};

/* Copies up to `room` penalties in force. Returns how many there are, 0 without memory. */
uint32_t se_core_penalties(struct se_core *core, double now, struct se_penalty_row *out, uint32_t room);

struct se_strikes_row {
    uint8_t network[16];
    double until; /* inf: without end */
    uint16_t count;
    uint8_t length;
    uint8_t reserved[5];
};

/* Copies up to `room` remembered strikes. Returns how many there are, 0 without memory. */
uint32_t se_core_strikes(struct se_core *core, double now, struct se_strikes_row *out, uint32_t room);
void se_core_restore_strikes(struct se_core *core, const struct se_strikes_row *strikes, double now);

struct se_burst_row {
    uint8_t network[16];
    double first, last;
    uint32_t count;
    uint16_t event;
    uint8_t length;
    uint8_t reserved;
};

/*
 * Copies the bursts of the sets from number `*set` on, up to `room` (at least SE_MIN_BURST_ROOM), and returns how many. Sets
 * `*set` to where the next call continues, SE_NO_MORE_SETS at the end.
 */
uint32_t se_core_bursts(struct se_core *core, double now, uint32_t *set, struct se_burst_row *out, uint32_t room);

/* Counts a burst again if the policy in force limits its event. The caller passes bursts of one source oldest first. */
void se_core_restore_burst(struct se_core *core, const struct se_burst_row *burst, double now);

#define SE_MIN_CHANGED_ROOM 8u /* rows of one set */

struct se_changed_row {
    uint8_t network[16];
    uint8_t length;
    uint8_t is_source, in_penalty; /* of se_core_list_known only */
    uint8_t reserved[5];
};

#define SE_MAX_PENALTIES 131072u /* in the table of one core */

/*
 * Copies the networks of which something is known at `now`, in the order of their addresses: those in penalty (`in_penalty`), and of the
 * sources with strikes or events the `most` ones with the most strikes, then events (`is_source`). Takes the tables set by set, and some 100 ms for
 * full ones. Requires room for `most` (at least 1) + SE_MAX_PENALTIES. Sets `*left_out` to the number of the other sources. Returns 0 or -ENOMEM.
 */
int se_core_list_known(struct se_core *core, double now, uint32_t most, struct se_changed_row *out, uint32_t *count, uint32_t *left_out);

/*
 * Copies the networks of rows that changed since they were copied last, from set number `*set` on, up to `room` (at least
 * SE_MIN_CHANGED_ROOM), and returns how many. One network may come several times. Sets `*set` as se_core_bursts does. Touches
 * only the sets with changed rows. What ends by itself, as time passes, is no change.
 */
uint32_t se_core_take_changed(struct se_core *core, uint32_t *set, struct se_changed_row *out, uint32_t room);

/*
 * Notes a change of the rows that count otherwise since `after` took the place of `before`; both are alive. Returns how many. Call it once
 * `after` is in force: a row that is read before is read again.
 */
uint32_t se_core_compare_policies(struct se_core *core, const struct se_policy *before, const struct se_policy *after);

/*
 * True if more rows than are noted were cleared since the last call, or evicted after their networks were copied: which they were
 * of is not known.
 */
bool se_core_take_overflow(struct se_core *core);

/* Removes and copies up to `room` of those networks. Returns how many; 0: there are no more. */
uint32_t se_core_take_lost(struct se_core *core, struct se_changed_row *out, uint32_t room);

#define SE_CORE_SETS 49152u /* of both tables */

/*
 * As se_core_take_changed, from set number `*set` to before `end` (at most SE_CORE_SETS): the networks of which something that was
 * copied has ended by `now`.
 */
uint32_t se_core_take_ended(struct se_core *core, double now, uint32_t *set, uint32_t end, struct se_changed_row *out, uint32_t room);

/*
 * Copies all that is known of a network: its penalty (`until` 0: none), its strikes (`count` 0: none), and up to `room` (at
 * least SE_MIN_BURST_ROOM) bursts, of which it returns the number.
 */
uint32_t se_core_read_source(struct se_core *core, const struct se_changed_row *source, double now, struct se_penalty_row *penalty,
                             struct se_strikes_row *strikes, struct se_burst_row *bursts, uint32_t room);

#endif
