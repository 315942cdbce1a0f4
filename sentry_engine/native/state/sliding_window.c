/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "state/sliding_window.h"

#include "memory/block.h"
#include "memory/spinlock.h"
#include "mix.h"
#include "state/lost_networks.h"
#include "state/set_marks.h"
#include "state/window_row.h"

#include <errno.h>
#include <stdlib.h>

#define WAYS SE_WINDOW_WAYS
#define IDLE_SHIFT 24u /* idle_at is in units of 16.8 ms: wraps after two years */

struct se_window_set {
    struct se_spinlock lock;
    uint16_t tag[WAYS];     /* of the row's hash; 0: free */
    uint32_t idle_at[WAYS]; /* in IDLE_SHIFT units, rounded up */
    uint8_t changed, told;  /* a bit for each way: changed since it was taken; had events when it was taken */
    uint8_t reserved[10];
    struct se_window_row row[WAYS];
};

_Static_assert(sizeof(struct se_window_set) == 576, "a set is nine cache lines");

struct se_windows {
    struct se_window_set *set; /* SE_WINDOW_SETS of them, from se_block_map */
    _Atomic uint64_t used, evicted;
    _Atomic uint64_t touched[SE_MARK_WORDS(SE_WINDOW_SETS)]; /* the sets that ever had a row: the others are not walked */
    _Atomic uint64_t changed[SE_MARK_WORDS(SE_WINDOW_SETS)]; /* the sets with rows that changed since they were taken */
    struct se_lost_networks lost;
};

_Static_assert(SE_WINDOW_SETS % 64 == 0, "sets fill the words of their marks");

int se_windows_open(struct se_windows **out)
{
    struct se_windows *windows = calloc(1, sizeof *windows);

    if (!windows)
        return -ENOMEM;
    windows->set = se_block_map(SE_WINDOW_SETS * sizeof *windows->set);
    if (!windows->set) {
        free(windows);
        return -ENOMEM;
    }
    *out = windows;
    return 0;
}

void se_windows_close(struct se_windows *windows)
{
    if (!windows)
        return;
    se_block_unmap(windows->set, SE_WINDOW_SETS * sizeof *windows->set);
    free(windows);
}

/* The hash of a key: the low bits are the set, the high bits the tag. */
static uint64_t hash_key(const struct se_window_key *key)
{
    return se_mix(key->hash + key->event * UINT64_C(0x9e3779b97f4a7c15));
}

static uint16_t tag_of(const struct se_window_key *key)
{
    return (uint16_t)(hash_key(key) >> 48 | 1);
}

struct se_window_set *se_window_lock(struct se_windows *windows, const struct se_window_key *key)
{
    struct se_window_set *set = &windows->set[hash_key(key) % SE_WINDOW_SETS];

    se_spinlock_lock(&set->lock);
    return set;
}

void se_window_unlock(struct se_window_set *set)
{
    se_spinlock_unlock(&set->lock);
}

/* The way of a key's row, or WAYS. */
static unsigned find_way(const struct se_window_set *set, const struct se_window_key *key)
{
    uint16_t tag = tag_of(key);
    unsigned way;

    for (way = 0; way < WAYS; way++) {
        const struct se_window_row *row = &set->row[way];
        if (set->tag[way] == tag && row->source == key->source && row->event == key->event && row->length == key->length)
            break;
    }
    return way;
}

static bool is_idle(const struct se_window_set *set, unsigned way, uint64_t now)
{
    return (int32_t)((uint32_t)(now >> IDLE_SHIFT) - set->idle_at[way]) >= 0;
}

uint64_t se_window_wait(struct se_window_set *set, const struct se_window_key *key, const struct se_limit *limit, uint64_t now)
{
    unsigned way = find_way(set, key);
    uint32_t time;

    if (way == WAYS)
        return 0;
    se_row_refresh(&set->row[way], limit, is_idle(set, way, now), now);
    if (!se_row_find_blocking(&set->row[way], limit, &time))
        return 0;
    return (uint64_t)(limit->window_units - se_unit_age(time, (uint32_t)(now >> limit->unit_shift))) << limit->unit_shift;
}

/* The way for a new row: a free one, else the one that is idle first. */
static unsigned choose_way(const struct se_window_set *set, uint64_t now)
{
    uint32_t now_idle = (uint32_t)(now >> IDLE_SHIFT);
    unsigned chosen = 0;

    for (unsigned way = 0; way < WAYS; way++) {
        if (!set->tag[way])
            return way;
        if ((int32_t)(set->idle_at[way] - now_idle) < (int32_t)(set->idle_at[chosen] - now_idle))
            chosen = way;
    }
    return chosen;
}

/* Without touching the set: its memory may not exist yet. */
static bool is_touched(const struct se_windows *windows, uint32_t set)
{
    return se_is_marked(windows->touched, set);
}

static void note_change(struct se_windows *windows, struct se_window_set *set, unsigned way)
{
    set->changed = (uint8_t)(set->changed | 1u << way);
    se_mark(windows->changed, (uint32_t)(set - windows->set));
}

static struct se_network source_of(const struct se_window_row *row)
{
    return (struct se_network){se_row_address(row), row->length};
}

static unsigned take_way(struct se_windows *windows, struct se_window_set *set, const struct se_window_key *key,
                         const struct se_limit *limit, uint64_t now)
{
    unsigned way = choose_way(set, now);

    se_mark(windows->touched, (uint32_t)(set - windows->set));
    if (set->told & 1u << way) {
        struct se_network source = source_of(&set->row[way]);
        se_lost_note(&windows->lost, &source);
        set->told = (uint8_t)(set->told & ~(1u << way));
    }
    atomic_fetch_add_explicit(set->tag[way] ? &windows->evicted : &windows->used, 1, memory_order_relaxed);
    set->tag[way] = tag_of(key);
    set->row[way] = (struct se_window_row){
        .source = key->source,
        .event = (uint16_t)key->event,
        .length = key->length,
        .kind = (uint8_t)se_row_kind_for(limit),
        .shift = (uint8_t)limit->unit_shift,
    };
    return way;
}

void se_window_add(struct se_windows *windows, struct se_window_set *set, const struct se_window_key *key,
                   const struct se_limit *limit, uint64_t now)
{
    unsigned way = find_way(set, key);
    uint32_t unit_now = (uint32_t)(now >> limit->unit_shift);
    struct se_window_row *row;

    if (way == WAYS)
        way = take_way(windows, set, key, limit, now);
    row = &set->row[way];
    if (row->kind == SE_WINDOW_LOG)
        se_row_add_to_log(row, unit_now);
    else
        se_row_add_to_buckets(row, limit, unit_now, 1);
    set->idle_at[way] = (uint32_t)((now + limit->window) >> IDLE_SHIFT) + 1;
    note_change(windows, set, way);
}

/* Drops all events of a row. */
static void empty_row(struct se_windows *windows, struct se_window_set *set, unsigned way)
{
    if (set->row[way].used)
        note_change(windows, set, way);
    set->row[way].used = 0;
}

void se_window_clear(struct se_windows *windows, struct se_window_set *set, const struct se_window_key *key)
{
    unsigned way = find_way(set, key);

    if (way < WAYS)
        empty_row(windows, set, way);
}

void se_window_pay_back(struct se_windows *windows, struct se_window_set *set, const struct se_window_key *key, uint32_t points)
{
    unsigned way = find_way(set, key);
    struct se_window_row *row;

    if (way == WAYS)
        return;
    row = &set->row[way];
    if (points && row->used)
        note_change(windows, set, way);
    while (points && row->used) {
        struct se_window_bucket *newest = &row->bucket[row->used - 1];
        if (row->kind == SE_WINDOW_BUCKETS && newest->count > points) {
            newest->count = (uint16_t)(newest->count - points);
            return;
        }
        points -= row->kind == SE_WINDOW_BUCKETS ? newest->count : 1;
        row->used--;
    }
}

static bool is_inside(const struct se_window_row *row, const struct se_network *network)
{
    return row->length >= network->length && se_network_contains(network, se_row_address(row));
}

void se_windows_clear(struct se_windows *windows, const struct se_network *network)
{
    for (uint32_t i = 0; i < SE_WINDOW_SETS; i++) {
        struct se_window_set *set = &windows->set[i];
        if (!is_touched(windows, i))
            continue;
        se_spinlock_lock(&set->lock);
        for (unsigned way = 0; way < WAYS; way++) {
            if (set->tag[way] && is_inside(&set->row[way], network))
                empty_row(windows, set, way);
        }
        se_spinlock_unlock(&set->lock);
    }
}

static uint32_t list_way(const struct se_window_set *set, unsigned way, const struct se_limit *limit, uint64_t now,
                         struct se_burst *out)
{
    struct se_window_row row = set->row[way];

    se_row_refresh(&row, limit, is_idle(set, way, now), now);
    return se_row_list(&row, limit, now, out);
}

uint32_t se_window_list(const struct se_window_set *set, const struct se_window_key *key, const struct se_limit *limit,
                        uint64_t now, struct se_burst out[SE_MAX_SET_BURSTS])
{
    unsigned way = find_way(set, key);

    return way == WAYS ? 0 : list_way(set, way, limit, now, out);
}

uint32_t se_windows_next_changed(const struct se_windows *windows, uint32_t set)
{
    return se_next_mark(windows->changed, set, SE_WINDOW_SETS);
}

uint32_t se_windows_take_changed(struct se_windows *windows, uint32_t number, struct se_network out[SE_WINDOW_WAYS])
{
    struct se_window_set *set = &windows->set[number];
    uint32_t count = 0;

    se_spinlock_lock(&set->lock);
    se_unmark(windows->changed, number);
    for (unsigned way = 0; way < WAYS; way++) {
        if (!(set->changed & 1u << way))
            continue;
        out[count++] = source_of(&set->row[way]);
        if (set->row[way].used)
            set->told = (uint8_t)(set->told | 1u << way);
    }
    set->changed = 0;
    se_spinlock_unlock(&set->lock);
    return count;
}

uint32_t se_windows_take_ended(struct se_windows *windows, uint32_t number, uint64_t now, struct se_network out[SE_WINDOW_WAYS])
{
    struct se_window_set *set = &windows->set[number];
    uint32_t count = 0;

    if (!is_touched(windows, number))
        return 0;
    se_spinlock_lock(&set->lock);
    for (unsigned way = 0; way < WAYS; way++) {
        if (!(set->told & 1u << way) || !is_idle(set, way, now))
            continue;
        out[count++] = source_of(&set->row[way]);
        set->told = (uint8_t)(set->told & ~(1u << way));
    }
    se_spinlock_unlock(&set->lock);
    return count;
}

static bool counts_alike(const struct se_limit *one, const struct se_limit *other)
{
    if (!one || !other)
        return one == other;
    return one->window == other->window && se_row_kind_for(one) == se_row_kind_for(other);
}

uint32_t se_windows_compare(struct se_windows *windows, se_limit_finder find_limit, const void *before, const void *after)
{
    uint32_t count = 0;

    for (uint32_t number = 0; number < SE_WINDOW_SETS; number++) {
        struct se_window_set *set = &windows->set[number];
        if (!is_touched(windows, number))
            continue;
        se_spinlock_lock(&set->lock);
        for (unsigned way = 0; way < WAYS; way++) {
            const struct se_window_row *row = &set->row[way];
            if (!row->used && !(set->told & 1u << way))
                continue;
            if (counts_alike(find_limit(before, se_row_address(row), row->event), find_limit(after, se_row_address(row), row->event)))
                continue;
            note_change(windows, set, way);
            count++;
        }
        se_spinlock_unlock(&set->lock);
    }
    return count;
}

struct se_lost_networks *se_windows_lost(struct se_windows *windows)
{
    return &windows->lost;
}

uint32_t se_windows_list(struct se_windows *windows, uint32_t number, se_limit_finder find_limit, const void *policy,
                         uint64_t now, struct se_burst out[SE_MAX_SET_BURSTS])
{
    struct se_window_set *set = &windows->set[number];
    uint32_t count = 0;

    if (!is_touched(windows, number))
        return 0;
    se_spinlock_lock(&set->lock);
    for (unsigned way = 0; way < WAYS; way++) {
        const struct se_limit *limit = NULL;
        if (set->tag[way])
            limit = find_limit(policy, se_row_address(&set->row[way]), set->row[way].event);
        if (limit)
            count += list_way(set, way, limit, now, out + count);
    }
    se_spinlock_unlock(&set->lock);
    return count;
}

void se_window_restore(struct se_windows *windows, struct se_window_set *set, const struct se_window_key *key,
                       const struct se_limit *limit, const struct se_burst *burst, uint64_t now)
{
    uint64_t last = burst->last_age >> limit->unit_shift, first = burst->first_age >> limit->unit_shift;
    uint32_t unit_now = (uint32_t)(now >> limit->unit_shift), newest, idle_at;
    unsigned way = find_way(set, key);
    bool is_empty;

    if (last >= limit->window_units || !burst->count)
        return;
    first = first < last ? last : first < limit->window_units ? first : limit->window_units;
    if (way == WAYS)
        way = take_way(windows, set, key, limit, now);
    else
        se_row_refresh(&set->row[way], limit, is_idle(set, way, now), now);
    is_empty = set->row[way].used == 0;
    newest = se_row_newest_age(&set->row[way], limit, unit_now);
    last = newest < last ? newest : last;
    first = newest < first ? newest : first;
    se_row_add_burst(&set->row[way], limit, unit_now, (uint32_t)first, (uint32_t)last, burst->count);
    idle_at = (uint32_t)((now + limit->window - (last << limit->unit_shift)) >> IDLE_SHIFT) + 1;
    if (is_empty || (int32_t)(idle_at - set->idle_at[way]) > 0)
        set->idle_at[way] = idle_at;
    note_change(windows, set, way);
}

uint64_t se_windows_used(const struct se_windows *windows)
{
    return atomic_load_explicit(&windows->used, memory_order_relaxed);
}

uint64_t se_windows_evicted(const struct se_windows *windows)
{
    return atomic_load_explicit(&windows->evicted, memory_order_relaxed);
}

uint64_t se_windows_bytes(void)
{
    return SE_WINDOW_SETS * sizeof(struct se_window_set) + sizeof(struct se_windows);
}
