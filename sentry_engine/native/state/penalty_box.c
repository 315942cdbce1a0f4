/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "state/penalty_box.h"

#include "gate.h"
#include "memory/block.h"
#include "memory/spinlock.h"
#include "nanoseconds.h"
#include "state/penalty_rows.h"

#include <errno.h>
#include <math.h>

#define CUSTOMER_PREFIX 48 /* the widest prefix that one customer is given (RFC 6177) */
#define GROUP_SIZE 16u     /* prefixes of one step inside the next wider one, beyond CUSTOMER_PREFIX: /48s of a /44 */

int se_penalties_open(struct se_penalties **out, const struct se_secret *secret)
{
    struct se_penalties *box = se_block_map(sizeof *box);

    if (!box)
        return -ENOMEM;
    box->secret = *secret;
    *out = box;
    return 0;
}

void se_penalties_close(struct se_penalties *penalties)
{
    if (penalties)
        se_block_unmap(penalties, sizeof *penalties);
}

static uint64_t grown_penalty(const struct se_limit *limit, unsigned strikes)
{
    double seconds = limit->penalty_seconds * pow(limit->penalty_growth, strikes - 1);

    if (!(seconds < limit->penalty_max_seconds))
        seconds = limit->penalty_max_seconds;
    return se_to_ns(seconds);
}

static struct se_penalty_terms terms_for(const struct se_penalty_entry *row, const struct se_limit *limit, uint64_t now)
{
    struct se_penalty_terms terms = {.strikes = 1};

    if (row && now < row->remembered_until && row->strikes < UINT16_MAX)
        terms.strikes = (uint16_t)(row->strikes + 1);
    terms.blacklisted = limit->blacklist_threshold && terms.strikes >= limit->blacklist_threshold;
    terms.duration = terms.blacklisted ? limit->blacklist_ttl : grown_penalty(limit, terms.strikes);
    return terms;
}

struct se_penalty_terms se_penalty_preview(struct se_penalties *box, const struct se_network *source,
                                           const struct se_limit *limit, uint64_t now)
{
    struct se_penalty_terms terms;
    uint32_t row;

    se_spinlock_lock(&box->writing);
    row = se_penalty_row_find(box, source);
    terms = terms_for(row == SE_NO_PENALTY_ROW ? NULL : &box->rows[row], limit, now);
    se_spinlock_unlock(&box->writing);
    return terms;
}

/* How many penalised prefixes widen a penalty to `group`. Wider than /48, where customers differ: half of it at least. */
static uint32_t escalation_count(const struct se_network *group, uint32_t after)
{
    if (group->length >= CUSTOMER_PREFIX)
        return after;
    if (after < GROUP_SIZE / 2)
        return GROUP_SIZE / 2;
    return after < GROUP_SIZE ? after : GROUP_SIZE;
}

static void escalate(struct se_penalties *box, struct se_penalty cause, uint64_t now, uint32_t after)
{
    struct se_network group = se_penalty_group_of(cause.network.address, cause.network.length);

    while (group.length) {
        uint32_t inside = se_penalty_rows_inside(box, &group, cause.network.length, now), row;
        if (inside < escalation_count(&group, after))
            return;
        cause.network = group;
        cause.strikes = (uint16_t)(inside < UINT16_MAX ? inside : UINT16_MAX);
        row = se_penalty_row_take(box, &group, now);
        if (row == SE_NO_PENALTY_ROW)
            return;
        if (box->rows[row].until < cause.until)
            se_penalty_row_fill(box, row, &cause);
        group = se_penalty_group_of(group.address, group.length);
    }
}

struct se_penalty_terms se_penalty_strike(struct se_penalties *box, const struct se_network *source,
                                          const struct se_limit *limit, uint64_t now, uint32_t escalate_after)
{
    struct se_penalty_terms terms;
    struct se_penalty penalty;
    uint32_t row;

    se_spinlock_lock(&box->writing);
    row = se_penalty_row_take(box, source, now);
    terms = terms_for(row == SE_NO_PENALTY_ROW ? NULL : &box->rows[row], limit, now);
    penalty = (struct se_penalty){
        .network = *source,
        .until = se_add_ns(now, terms.duration),
        .rule = limit->kept_rule,
        .strikes = terms.strikes,
        .reason = terms.blacklisted ? SE_REASON_BLACKLISTED : SE_REASON_PENALTY,
    };
    if (row != SE_NO_PENALTY_ROW) {
        box->rows[row].strikes = terms.strikes;
        box->rows[row].remembered_until = se_add_ns(penalty.until, limit->strike_memory);
        se_penalty_row_fill(box, row, &penalty);
        if (escalate_after)
            escalate(box, penalty, now, escalate_after);
    }
    se_spinlock_unlock(&box->writing);
    return terms;
}

void se_penalty_put(struct se_penalties *box, const struct se_penalty *penalty)
{
    uint32_t row;

    se_spinlock_lock(&box->writing);
    row = se_penalty_row_take(box, &penalty->network, 0);
    if (row != SE_NO_PENALTY_ROW)
        se_penalty_row_fill(box, row, penalty);
    se_spinlock_unlock(&box->writing);
}

/* True if the set has no row. Its rows are not touched: their memory may not exist yet. */
static bool is_free(const struct se_penalties *box, uint32_t set)
{
    return !atomic_load_explicit(&box->tags[set], memory_order_acquire);
}

uint32_t se_penalties_clear(struct se_penalties *box, const struct se_network *network, uint64_t now)
{
    uint32_t ended = 0;

    for (uint32_t set = 0; set < SE_PENALTY_SETS; set++) {
        if (is_free(box, set))
            continue;
        se_spinlock_lock(&box->writing);
        for (uint32_t i = set * SE_PENALTY_WAYS; i < (set + 1) * SE_PENALTY_WAYS; i++) {
            struct se_penalty_entry *row = &box->rows[i];
            if (!row->taken || row->length < network->length || !se_network_contains(network, row->address))
                continue;
            ended += now < row->until;
            row->notes |= SE_ROW_PENALTY_TOLD; /* it may have been read since, for a change of its windows or with all rows */
            se_penalty_row_remove(box, i);
        }
        se_spinlock_unlock(&box->writing);
    }
    return ended;
}

uint32_t se_penalties_list(struct se_penalties *box, uint64_t now, struct se_penalty *out, uint32_t room)
{
    uint32_t count = 0;

    for (uint32_t set = 0; set < SE_PENALTY_SETS; set++) {
        if (is_free(box, set))
            continue;
        se_spinlock_lock(&box->writing);
        for (uint32_t i = set * SE_PENALTY_WAYS; i < (set + 1) * SE_PENALTY_WAYS; i++) {
            const struct se_penalty_entry *row = &box->rows[i];
            if (!row->taken || now >= row->until)
                continue;
            if (count < room)
                out[count] = se_penalty_row_read(row);
            count++;
        }
        se_spinlock_unlock(&box->writing);
    }
    return count;
}

uint32_t se_penalties_strikes(struct se_penalties *box, uint64_t now, struct se_strikes *out, uint32_t room)
{
    uint32_t count = 0;

    for (uint32_t set = 0; set < SE_PENALTY_SETS; set++) {
        if (is_free(box, set))
            continue;
        se_spinlock_lock(&box->writing);
        for (uint32_t i = set * SE_PENALTY_WAYS; i < (set + 1) * SE_PENALTY_WAYS; i++) {
            const struct se_penalty_entry *row = &box->rows[i];
            if (!row->taken || !row->strikes || now >= row->remembered_until)
                continue;
            if (count < room)
                out[count] = (struct se_strikes){{row->address, row->length}, row->remembered_until, row->strikes};
            count++;
        }
        se_spinlock_unlock(&box->writing);
    }
    return count;
}

void se_penalty_restore_strikes(struct se_penalties *box, const struct se_strikes *strikes, uint64_t now)
{
    uint32_t row;

    se_spinlock_lock(&box->writing);
    row = se_penalty_row_take(box, &strikes->source, now);
    if (row != SE_NO_PENALTY_ROW) {
        struct se_penalty_entry *known = &box->rows[row];
        if (known->strikes < strikes->count)
            known->strikes = strikes->count;
        if (known->remembered_until < strikes->remembered_until)
            known->remembered_until = strikes->remembered_until;
        se_penalty_row_show(box, row, known->strikes);
    }
    se_spinlock_unlock(&box->writing);
}

void se_penalties_read(struct se_penalties *box, const struct se_network *network, uint64_t now,
                       struct se_penalty *penalty, struct se_strikes *strikes)
{
    uint32_t at;

    *penalty = (struct se_penalty){.network = *network};
    *strikes = (struct se_strikes){.source = *network};
    se_spinlock_lock(&box->writing);
    at = se_penalty_row_find(box, network);
    if (at != SE_NO_PENALTY_ROW) {
        const struct se_penalty_entry *row = &box->rows[at];
        if (now < row->until)
            *penalty = se_penalty_row_read(row);
        if (now < row->remembered_until)
            *strikes = (struct se_strikes){*network, row->remembered_until, row->strikes};
    }
    se_spinlock_unlock(&box->writing);
}

uint32_t se_penalties_next_changed(const struct se_penalties *box, uint32_t set)
{
    return se_next_mark(box->changed, set, SE_PENALTY_SETS);
}

uint32_t se_penalties_take_changed(struct se_penalties *box, uint32_t set, struct se_network *out)
{
    uint32_t count = 0;

    se_spinlock_lock(&box->writing);
    se_unmark(box->changed, set);
    for (uint32_t i = set * SE_PENALTY_WAYS; i < (set + 1) * SE_PENALTY_WAYS; i++) {
        struct se_penalty_entry *row = &box->rows[i];
        if (!(row->notes & SE_ROW_CHANGED))
            continue;
        out[count++] = (struct se_network){row->address, row->length};
        row->notes = (uint8_t)((row->until ? SE_ROW_PENALTY_TOLD : 0u) | (row->strikes ? SE_ROW_STRIKES_TOLD : 0u));
    }
    se_spinlock_unlock(&box->writing);
    return count;
}

uint32_t se_penalties_take_ended(struct se_penalties *box, uint32_t set, uint64_t now, struct se_network *out)
{
    uint32_t count = 0;

    if (is_free(box, set))
        return 0;
    se_spinlock_lock(&box->writing);
    for (uint32_t i = set * SE_PENALTY_WAYS; i < (set + 1) * SE_PENALTY_WAYS; i++) {
        struct se_penalty_entry *row = &box->rows[i];
        unsigned over = (now < row->until ? 0u : SE_ROW_PENALTY_TOLD) | (now < row->remembered_until ? 0u : SE_ROW_STRIKES_TOLD);
        if (!(row->notes & over))
            continue;
        out[count++] = (struct se_network){row->address, row->length};
        row->notes = (uint8_t)(row->notes & ~over);
    }
    se_spinlock_unlock(&box->writing);
    return count;
}

struct se_lost_networks *se_penalties_lost(struct se_penalties *box)
{
    return &box->lost;
}

uint32_t se_penalties_used(const struct se_penalties *box)
{
    return atomic_load_explicit(&box->used, memory_order_relaxed);
}

uint64_t se_penalties_bytes(void)
{
    return sizeof(struct se_penalties);
}
