/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "state_export.h"

#include "core_internal.h"
#include "memory/epoch.h"
#include "nanoseconds.h"
#include "state/lost_networks.h"
#include "state/penalty_rows.h"
#include "table/lookup.h"

#include <stdlib.h>

_Static_assert(SE_MIN_BURST_ROOM == SE_MAX_SET_BURSTS, "a call takes the bursts of one set at least");
_Static_assert(SE_MIN_CHANGED_ROOM == SE_WINDOW_WAYS && SE_MIN_CHANGED_ROOM == SE_PENALTY_WAYS, "a call takes the rows of one set at least");

static struct se_network load_network(const uint8_t network[16], uint8_t length)
{
    return (struct se_network){se_mask(se_address_load(network), length), length};
}

void se_core_penalize(struct se_core *core, const uint8_t network[16], uint8_t length, double until, uint8_t reason, uint32_t kept_rule)
{
    struct se_penalty penalty = {load_network(network, length), se_to_ns(until), kept_rule, 1, reason};

    se_penalty_put(se_core_state(core)->penalties, &penalty);
}

/* For a network that is one source, or part of one. The cells of a wider network cannot be found. */
static void clear_in_sketch(struct se_core *core, const struct se_policy *policy, const struct se_network *network)
{
    struct se_network source = se_source_of(policy, network->address);

    for (uint32_t event = 0; network->length >= source.length && event < policy->snapshot->event_count; event++) {
        struct se_window_key key = se_key_of(se_core_state(core), &source, event);
        se_sketch_clear(se_core_state(core)->sketch, se_sketch_hash(&key));
    }
}

uint32_t se_core_clear_penalties(struct se_core *core, const uint8_t network[16], uint8_t length, double now)
{
    struct se_network inside = load_network(network, length);
    struct se_epoch_slot *slot = se_epoch_enter();
    const struct se_in_force *in_force = se_core_in_force(core);

    if (in_force)
        clear_in_sketch(core, in_force->policy, &inside);
    se_epoch_leave(slot);
    se_windows_clear(se_core_state(core)->windows, &inside);
    return se_penalties_clear(se_core_state(core)->penalties, &inside, se_to_ns(now));
}

void se_core_pay_back(struct se_core *core, const uint8_t address[16], uint32_t event, uint32_t points)
{
    struct se_state_tables *state = se_core_state(core);
    struct se_epoch_slot *slot = se_epoch_enter();
    const struct se_in_force *in_force = se_core_in_force(core);

    if (in_force) {
        struct se_network source = se_source_of(in_force->policy, se_address_load(address));
        struct se_window_key key = se_key_of(state, &source, event);
        struct se_window_set *set = se_window_lock(state->windows, &key);
        se_window_pay_back(state->windows, set, &key, points);
        se_window_unlock(set);
    }
    se_epoch_leave(slot);
}

static struct se_penalty_row make_penalty_row(const struct se_penalty *penalty)
{
    struct se_penalty_row row = {
        .until = se_to_seconds(penalty->until),
        .kept_rule = penalty->rule,
        .strikes = penalty->strikes,
        .length = penalty->network.length,
        .reason = penalty->reason,
    };

    se_address_store(row.network, penalty->network.address);
    return row;
}

static struct se_strikes_row make_strikes_row(const struct se_strikes *strikes)
{
    struct se_strikes_row row = {
        .until = se_to_seconds(strikes->remembered_until),
        .count = strikes->count,
        .length = strikes->source.length,
    };

    se_address_store(row.network, strikes->source.address);
    return row;
}

uint32_t se_core_penalties(struct se_core *core, double now, struct se_penalty_row *out, uint32_t room)
{
    struct se_penalty *found = calloc(room + 1u, sizeof *found);
    uint32_t count;

    if (!found)
        return 0;
    count = se_penalties_list(se_core_state(core)->penalties, se_to_ns(now), found, room);
    for (uint32_t i = 0; i < count && i < room; i++)
        out[i] = make_penalty_row(&found[i]);
    free(found);
    return count;
}

uint32_t se_core_strikes(struct se_core *core, double now, struct se_strikes_row *out, uint32_t room)
{
    struct se_strikes *found = calloc(room + 1u, sizeof *found);
    uint32_t count;

    if (!found)
        return 0;
    count = se_penalties_strikes(se_core_state(core)->penalties, se_to_ns(now), found, room);
    for (uint32_t i = 0; i < count && i < room; i++)
        out[i] = make_strikes_row(&found[i]);
    free(found);
    return count;
}

void se_core_restore_strikes(struct se_core *core, const struct se_strikes_row *row, double now)
{
    struct se_strikes strikes = {
        .source = load_network(row->network, row->length),
        .remembered_until = se_to_ns(row->until),
        .count = row->count,
    };

    if (strikes.count && strikes.remembered_until > se_to_ns(now))
        se_penalty_restore_strikes(se_core_state(core)->penalties, &strikes, se_to_ns(now));
}

static struct se_burst_row make_burst_row(const struct se_burst *burst, double now)
{
    struct se_burst_row row = {
        .first = now - se_to_seconds(burst->first_age),
        .last = now - se_to_seconds(burst->last_age),
        .count = burst->count,
        .event = (uint16_t)burst->event,
        .length = burst->source.length,
    };

    se_address_store(row.network, burst->source.address);
    return row;
}

static const struct se_limit *find_limit(const void *policy, struct se_address source, uint32_t event)
{
    return se_find_limit(policy, source, event);
}

uint32_t se_core_bursts(struct se_core *core, double now, uint32_t *set, struct se_burst_row *out, uint32_t room)
{
    struct se_burst bursts[SE_MAX_SET_BURSTS];
    struct se_epoch_slot *slot = se_epoch_enter();
    const struct se_in_force *in_force = se_core_in_force(core);
    uint32_t count = 0, next = in_force ? *set : SE_WINDOW_SETS;

    for (; next < SE_WINDOW_SETS && room - count >= SE_MAX_SET_BURSTS; next++) {
        uint32_t found = se_windows_list(se_core_state(core)->windows, next, find_limit, in_force->policy, se_to_ns(now), bursts);
        for (uint32_t i = 0; i < found; i++)
            out[count++] = make_burst_row(&bursts[i], now);
    }
    se_epoch_leave(slot);
    *set = next < SE_WINDOW_SETS ? next : SE_NO_MORE_SETS;
    return count;
}

void se_core_restore_burst(struct se_core *core, const struct se_burst_row *row, double now)
{
    struct se_state_tables *state = se_core_state(core);
    struct se_network source = load_network(row->network, row->length);
    struct se_burst burst = {source, se_to_ns(now - row->first), se_to_ns(now - row->last), row->count, row->event};
    struct se_epoch_slot *slot = se_epoch_enter();
    const struct se_in_force *in_force = se_core_in_force(core);
    const struct se_limit *limit = in_force ? se_find_limit(in_force->policy, source.address, row->event) : NULL;

    if (limit) {
        struct se_window_key key = se_key_of(state, &source, row->event);
        struct se_window_set *set = se_window_lock(state->windows, &key);
        se_window_restore(state->windows, set, &key, limit, &burst, se_to_ns(now));
        se_window_unlock(set);
    }
    se_epoch_leave(slot);
}

_Static_assert(SE_CORE_SETS == SE_WINDOW_SETS + SE_PENALTY_SETS, "the sets of both tables");

static struct se_changed_row make_changed_row(const struct se_network *network)
{
    struct se_changed_row row = {.length = network->length};

    se_address_store(row.network, network->address);
    return row;
}

/* Counts the sets of both tables: those of the windows, then those of the penalties. */
static uint32_t next_changed(struct se_state_tables *state, uint32_t set)
{
    if (set < SE_WINDOW_SETS)
        set = se_windows_next_changed(state->windows, set);
    return set < SE_WINDOW_SETS ? set : SE_WINDOW_SETS + se_penalties_next_changed(state->penalties, set - SE_WINDOW_SETS);
}

uint32_t se_core_take_changed(struct se_core *core, uint32_t *set, struct se_changed_row *out, uint32_t room)
{
    struct se_state_tables *state = se_core_state(core);
    struct se_network changed[SE_MIN_CHANGED_ROOM];
    uint32_t count = 0, next = next_changed(state, *set);

    for (; next < SE_CORE_SETS && room - count >= SE_MIN_CHANGED_ROOM; next = next_changed(state, next + 1)) {
        uint32_t found = next < SE_WINDOW_SETS ? se_windows_take_changed(state->windows, next, changed)
                                               : se_penalties_take_changed(state->penalties, next - SE_WINDOW_SETS, changed);
        for (uint32_t i = 0; i < found; i++)
            out[count++] = make_changed_row(&changed[i]);
    }
    *set = next < SE_CORE_SETS ? next : SE_NO_MORE_SETS;
    return count;
}

uint32_t se_core_take_ended(struct se_core *core, double now, uint32_t *set, uint32_t end, struct se_changed_row *out, uint32_t room)
{
    struct se_state_tables *state = se_core_state(core);
    struct se_network ended[SE_MIN_CHANGED_ROOM];
    uint32_t count = 0, next = *set;

    for (; next < end && next < SE_CORE_SETS && room - count >= SE_MIN_CHANGED_ROOM; next++) {
        uint32_t found = next < SE_WINDOW_SETS ? se_windows_take_ended(state->windows, next, se_to_ns(now), ended)
                                               : se_penalties_take_ended(state->penalties, next - SE_WINDOW_SETS, se_to_ns(now), ended);
        for (uint32_t i = 0; i < found; i++)
            out[count++] = make_changed_row(&ended[i]);
    }
    *set = next < end && next < SE_CORE_SETS ? next : SE_NO_MORE_SETS;
    return count;
}

uint32_t se_core_compare_policies(struct se_core *core, const struct se_policy *before, const struct se_policy *after)
{
    return se_windows_compare(se_core_state(core)->windows, find_limit, before, after);
}

bool se_core_take_overflow(struct se_core *core)
{
    bool windows = se_lost_take_overflow(se_windows_lost(se_core_state(core)->windows));

    return se_lost_take_overflow(se_penalties_lost(se_core_state(core)->penalties)) || windows;
}

#define LOST_AT_A_TIME 64u /* some 100 ns under the lock that a decision takes when it evicts a row */

uint32_t se_core_take_lost(struct se_core *core, struct se_changed_row *out, uint32_t room)
{
    struct se_lost_networks *lists[] = {se_windows_lost(se_core_state(core)->windows), se_penalties_lost(se_core_state(core)->penalties)};
    struct se_network lost[LOST_AT_A_TIME];
    uint32_t count = 0;

    for (unsigned list = 0; list < 2; list++) {
        for (uint32_t found = 1; found && count < room;) {
            found = se_lost_take(lists[list], lost, room - count < LOST_AT_A_TIME ? room - count : LOST_AT_A_TIME);
            for (uint32_t i = 0; i < found; i++)
                out[count++] = make_changed_row(&lost[i]);
        }
    }
    return count;
}

static uint32_t read_bursts(struct se_core *core, const struct se_policy *policy, const struct se_network *source, double now,
                            struct se_burst_row *out, uint32_t room)
{
    struct se_state_tables *state = se_core_state(core);
    struct se_burst bursts[SE_MAX_SET_BURSTS];
    uint32_t count = 0;

    for (uint32_t event = 0; event < policy->snapshot->event_count && room - count >= SE_MIN_BURST_ROOM; event++) {
        const struct se_limit *limit = se_find_limit(policy, source->address, event);
        if (!limit)
            continue;
        struct se_window_key key = se_key_of(state, source, event);
        struct se_window_set *set = se_window_lock(state->windows, &key);
        uint32_t found = se_window_list(set, &key, limit, se_to_ns(now), bursts);
        se_window_unlock(set);
        for (uint32_t i = 0; i < found; i++)
            out[count++] = make_burst_row(&bursts[i], now);
    }
    return count;
}

uint32_t se_core_read_source(struct se_core *core, const struct se_changed_row *row, double now, struct se_penalty_row *penalty,
                             struct se_strikes_row *strikes, struct se_burst_row *bursts, uint32_t room)
{
    struct se_network source = load_network(row->network, row->length);
    struct se_epoch_slot *slot = se_epoch_enter();
    const struct se_in_force *in_force = se_core_in_force(core);
    struct se_penalty found_penalty;
    struct se_strikes found_strikes;
    uint32_t count = 0;

    if (in_force)
        count = read_bursts(core, in_force->policy, &source, now, bursts, room);
    se_epoch_leave(slot);
    se_penalties_read(se_core_state(core)->penalties, &source, se_to_ns(now), &found_penalty, &found_strikes);
    *penalty = make_penalty_row(&found_penalty);
    *strikes = make_strikes_row(&found_strikes);
    return count;
}
