/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "state_export.h"

#include "table/prefix_table.h"
#include "epoch.h"

#include <stdlib.h>

uint32_t se_core_strikes(struct se_core *core, double now, struct se_strikes_row *out, uint32_t room)
{
    struct se_strikes *found = calloc(room + 1u, sizeof *found);
    uint32_t count;

    if (!found)
        return 0;
    count = se_penalties_strikes(se_core_state(core)->penalties, se_to_ns(now), found, room);
    for (uint32_t i = 0; i < count && i < room; i++) {
        out[i] = (struct se_strikes_row){
            .until = se_to_seconds(found[i].remembered_until),
            .count = found[i].count,
            .length = found[i].source.length,
        };
        se_address_store(out[i].network, found[i].source.address);
    }
    free(found);
    return count;
}

void se_core_remember(struct se_core *core, const struct se_strikes_row *row, double now)
{
    struct se_strikes strikes = {
        .source = {se_mask(se_address_load(row->network), row->length), row->length},
        .remembered_until = se_to_ns(row->until),
        .count = row->count,
    };

    if (strikes.count && strikes.remembered_until > se_to_ns(now))
        se_penalty_remember(se_core_state(core)->penalties, &strikes, se_to_ns(now));
}

static struct se_burst_row describe(const struct se_burst *burst, double now)
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

uint32_t se_core_bursts(struct se_core *core, double now, uint32_t *set, struct se_burst_row *out, uint32_t room)
{
    struct se_burst bursts[SE_MAX_SET_BURSTS];
    struct se_reader *reader = se_reader_enter();
    const struct se_in_force *in_force = se_core_in_force(core);
    uint32_t count = 0, next = in_force ? *set : SE_WINDOW_SETS;

    for (; next < SE_WINDOW_SETS && room - count >= SE_MAX_SET_BURSTS; next++) {
        uint32_t found = se_windows_list(se_core_state(core)->windows, next, in_force->base, se_to_ns(now), bursts);
        for (uint32_t i = 0; i < found; i++)
            out[count++] = describe(&bursts[i], now);
    }
    se_reader_leave(reader);
    *set = next;
    return count;
}

void se_core_restore(struct se_core *core, const struct se_burst_row *row, double now)
{
    struct se_state_tables *state = se_core_state(core);
    struct se_network source = {se_mask(se_address_load(row->network), row->length), row->length};
    struct se_burst burst = {source, se_to_ns(now - row->first), se_to_ns(now - row->last), row->count, row->event};
    struct se_reader *reader = se_reader_enter();
    const struct se_in_force *in_force = se_core_in_force(core);
    const struct se_limit *limit = in_force ? se_find_limit(in_force->base, source.address, row->event) : NULL;

    if (limit) {
        struct se_window_key key = se_key_of(state, &source, row->event);
        struct se_window_set *set = se_window_lock(state->windows, &key);
        se_window_restore(state->windows, set, &key, limit, &burst, se_to_ns(now));
        se_window_unlock(set);
    }
    se_reader_leave(reader);
}
