/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a core knows of its sources besides who is in penalty, out of it and into the next one: strikes, and the events that
 * are still in their windows. Times are seconds of the caller's clock, and may lie before its beginning: an event of before
 * a reboot does. Sources are told by their network, because the secret that hashes them is drawn anew.
 *
 * The sketch of unverified sources stays behind: what it counts may be spoofed, and is over in a window.
 */
#ifndef SENTRY_ENGINE_CARRY_H
#define SENTRY_ENGINE_CARRY_H

#include "core.h"

struct se_strikes_row {
    uint8_t network[16];
    double until; /* seconds; inf: without end */
    uint16_t count;
    uint8_t length;
};

/* Up to `room` remembered strikes; returns how many there are. */
uint32_t se_core_strikes(struct se_core *core, double now, struct se_strikes_row *out, uint32_t room);
void se_core_remember(struct se_core *core, const struct se_strikes_row *strikes, double now);

struct se_burst_row {
    uint8_t network[16];
    double first, last; /* seconds */
    uint32_t count;
    uint16_t event;
    uint8_t length;
};

/*
 * Up to `room` (at least SE_MAX_SET_BURSTS) bursts of the sources from set `*set` on; `*set` is where the next call goes on,
 * SE_WINDOW_SETS when there is no more.
 */
uint32_t se_core_bursts(struct se_core *core, double now, uint32_t *set, struct se_burst_row *out, uint32_t room);

/* Counts a burst again, if the policy in force limits its event. Bursts of a source come oldest first. */
void se_core_restore(struct se_core *core, const struct se_burst_row *burst, double now);

#endif
