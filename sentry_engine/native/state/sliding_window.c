/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "state/sliding_window.h"

#include "table/prefix_table.h"
#include "state/siphash.h"
#include "spinlock.h"

#include <errno.h>
#include <stdlib.h>

#define WAYS 8u
#define LOG_EVENTS 12u        /* what fits in 48 bytes at four each */
#define BUCKETS 6u            /* at eight bytes each */
#define QUANTA 5u             /* of a window; one bucket more than that can hold live events at a time */
#define SPAN_STEPS 65535u     /* a bucket's span is kept in this many parts of its quantum, rounded up */
#define MAX_WINDOW_UNITS (1u << 30) /* ages stay below twice that, far from the wrap of 32 bits */
#define IN_THE_FUTURE 0xf0000000u   /* an age above this is a clock read before another thread's, counted as none */
#define IDLE_SHIFT 24u        /* when a row falls idle is kept in units of 16.8 ms: wraps after two years */

enum row_kind { ROW_LOG = 0, ROW_BUCKETS = 1 };

struct bucket {
    uint32_t first;
    uint16_t span, count;
};

struct row {
    uint64_t source;
    uint16_t event;
    uint8_t length;
    uint8_t kind;         /* enum row_kind */
    uint8_t shift;        /* the unit of its times */
    uint8_t used;         /* times or buckets, oldest first */
    uint16_t reserved;
    union {
        uint32_t time[LOG_EVENTS];
        struct bucket bucket[BUCKETS];
    };
};

struct se_window_set {
    struct se_spin lock;
    uint16_t tag[WAYS];    /* of the row's hash; 0: free */
    uint32_t idle_at[WAYS]; /* in IDLE_SHIFT units, rounded up */
    uint8_t reserved[12];
    struct row row[WAYS];
};

_Static_assert(sizeof(struct row) == 64, "a row is one cache line");
_Static_assert(sizeof(struct se_window_set) == 576, "a set is nine cache lines");

struct se_windows {
    struct se_window_set *set; /* SE_WINDOW_SETS of them, from se_block_map */
    _Atomic uint64_t used, evicted;
};

void se_window_prepare(struct se_limit *limit)
{
    uint32_t shift = 0;

    while ((limit->window - 1) >> shift >= MAX_WINDOW_UNITS - 1)
        shift++;
    limit->unit_shift = shift;
    limit->window_units = (uint32_t)(((limit->window - 1) >> shift) + 1);
}

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

/* Where a key belongs: the low bits name the set, the high ones the tag. */
static uint64_t place_of(const struct se_window_key *key)
{
    return se_mix(key->hash + key->event * UINT64_C(0x9e3779b97f4a7c15));
}

static uint16_t tag_of(const struct se_window_key *key)
{
    return (uint16_t)(place_of(key) >> 48 | 1);
}

struct se_window_set *se_window_lock(struct se_windows *windows, const struct se_window_key *key)
{
    struct se_window_set *set = &windows->set[place_of(key) % SE_WINDOW_SETS];

    se_spin_lock(&set->lock);
    return set;
}

void se_window_unlock(struct se_window_set *set)
{
    se_spin_unlock(&set->lock);
}

/* The row's way, or WAYS. */
static unsigned find(const struct se_window_set *set, const struct se_window_key *key)
{
    uint16_t tag = tag_of(key);
    unsigned way;

    for (way = 0; way < WAYS; way++) {
        const struct row *row = &set->row[way];
        if (set->tag[way] == tag && row->source == key->source && row->event == key->event && row->length == key->length)
            break;
    }
    return way;
}

static bool is_idle(const struct se_window_set *set, unsigned way, uint64_t now)
{
    return (int32_t)((uint32_t)(now >> IDLE_SHIFT) - set->idle_at[way]) >= 0;
}

/* Units from `time` to `now`. */
static uint32_t age(uint32_t time, uint32_t now)
{
    uint32_t units = now - time;

    return units > IN_THE_FUTURE ? 0 : units;
}

static uint32_t quantum(const struct se_limit *limit)
{
    return (limit->window_units + QUANTA - 1) / QUANTA;
}

static uint32_t span_step(const struct se_limit *limit)
{
    return quantum(limit) / SPAN_STEPS + 1;
}

/* The time of a bucket's last event. */
static uint32_t last_of(const struct bucket *bucket, const struct se_limit *limit)
{
    return bucket->first + bucket->span * span_step(limit);
}

/* Drops the oldest `count` times or buckets. */
static void drop_oldest(struct row *row, unsigned count)
{
    row->used = (uint8_t)(row->used - count);
    if (row->kind == ROW_LOG)
        memmove(row->time, row->time + count, row->used * sizeof row->time[0]);
    else
        memmove(row->bucket, row->bucket + count, row->used * sizeof row->bucket[0]);
}

/* Drops what has left the window. */
static void prune(struct row *row, const struct se_limit *limit, uint32_t now)
{
    unsigned gone = 0;

    while (gone < row->used) {
        uint32_t last = row->kind == ROW_LOG ? row->time[gone] : last_of(&row->bucket[gone], limit);
        if (age(last, now) < limit->window_units)
            break;
        gone++;
    }
    if (gone)
        drop_oldest(row, gone);
}

/* Makes room for one more: the oldest becomes part of the second oldest, and is remembered as long as that. */
static void join_oldest(struct row *row)
{
    uint32_t joined = (uint32_t)row->bucket[0].count + row->bucket[1].count;

    row->bucket[1].count = (uint16_t)(joined < UINT16_MAX ? joined : UINT16_MAX);
    drop_oldest(row, 1);
}

static void add_to_buckets(struct row *row, const struct se_limit *limit, uint32_t now, uint16_t count)
{
    struct bucket *newest = row->used ? &row->bucket[row->used - 1] : NULL;

    if (newest && age(newest->first, now) < quantum(limit)) {
        uint32_t step = span_step(limit), span = (age(newest->first, now) + step - 1) / step;
        newest->span = (uint16_t)(span > newest->span ? span : newest->span);
        newest->count = (uint16_t)(newest->count + count < UINT16_MAX ? newest->count + count : UINT16_MAX);
        return;
    }
    if (row->used == BUCKETS)
        join_oldest(row);
    row->bucket[row->used++] = (struct bucket){.first = now, .count = count};
}

static void add_to_log(struct row *row, uint32_t now)
{
    if (row->used == LOG_EVENTS)
        drop_oldest(row, 1);
    row->time[row->used++] = now;
}

static enum row_kind kind_for(const struct se_limit *limit)
{
    return limit->max_events <= LOG_EVENTS ? ROW_LOG : ROW_BUCKETS;
}

/*
 * A new policy gave the event another limit: its events are counted again in the units and the kind of the new one. What
 * was a bucket becomes that many events (in a log at most twelve) at the time of its first one.
 */
static void convert(struct row *row, const struct se_limit *limit, uint64_t now)
{
    const struct row old = *row;
    uint32_t unit_now = (uint32_t)(now >> limit->unit_shift);

    row->kind = (uint8_t)kind_for(limit);
    row->shift = (uint8_t)limit->unit_shift;
    row->used = 0;
    for (unsigned i = 0; i < old.used; i++) {
        uint32_t time = old.kind == ROW_LOG ? old.time[i] : old.bucket[i].first;
        uint16_t count = old.kind == ROW_LOG ? 1 : old.bucket[i].count;
        uint64_t gone = (uint64_t)age(time, (uint32_t)(now >> old.shift)) << old.shift >> limit->unit_shift;
        if (gone >= limit->window_units)
            continue;
        if (row->kind == ROW_BUCKETS)
            add_to_buckets(row, limit, unit_now - (uint32_t)gone, count);
        for (unsigned j = 0; row->kind == ROW_LOG && j < count && j < LOG_EVENTS; j++)
            add_to_log(row, unit_now - (uint32_t)gone);
    }
}

/* Brings a row up to `now`. */
static void refresh(struct row *row, const struct se_limit *limit, bool idle, uint64_t now)
{
    if (idle)
        row->used = 0;
    if (row->shift != limit->unit_shift || row->kind != kind_for(limit))
        convert(row, limit, now);
    prune(row, limit, (uint32_t)(now >> limit->unit_shift));
}

/* The event that has to leave before one more passes: its time, if there is one. */
static bool find_blocking(const struct row *row, const struct se_limit *limit, uint32_t *time)
{
    uint32_t total = 0;
    unsigned i;

    if (row->kind == ROW_LOG) {
        if (row->used < limit->max_events)
            return false;
        *time = row->time[row->used - limit->max_events];
        return true;
    }
    for (i = 0; i < row->used; i++)
        total += row->bucket[i].count;
    if (total < limit->max_events)
        return false;
    for (i = 0; total >= limit->max_events; i++) {
        total -= row->bucket[i].count;
        *time = last_of(&row->bucket[i], limit);
    }
    return true;
}

uint64_t se_window_wait(struct se_window_set *set, const struct se_window_key *key, const struct se_limit *limit, uint64_t now)
{
    unsigned way = find(set, key);
    uint32_t time;

    if (way == WAYS)
        return 0;
    refresh(&set->row[way], limit, is_idle(set, way, now), now);
    if (!find_blocking(&set->row[way], limit, &time))
        return 0;
    return (uint64_t)(limit->window_units - age(time, (uint32_t)(now >> limit->unit_shift))) << limit->unit_shift;
}

/* A way for a new row: a free one, else one that is idle, else the one that will be first. */
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

static unsigned take_way(struct se_windows *windows, struct se_window_set *set, const struct se_window_key *key,
                         const struct se_limit *limit, uint64_t now)
{
    unsigned way = choose_way(set, now);

    atomic_fetch_add_explicit(set->tag[way] ? &windows->evicted : &windows->used, 1, memory_order_relaxed);
    set->tag[way] = tag_of(key);
    set->row[way] = (struct row){
        .source = key->source,
        .event = (uint16_t)key->event,
        .length = key->length,
        .kind = (uint8_t)kind_for(limit),
        .shift = (uint8_t)limit->unit_shift,
    };
    return way;
}

void se_window_add(struct se_windows *windows, struct se_window_set *set, const struct se_window_key *key,
                   const struct se_limit *limit, uint64_t now)
{
    unsigned way = find(set, key);
    uint32_t unit_now = (uint32_t)(now >> limit->unit_shift);
    struct row *row;

    if (way == WAYS)
        way = take_way(windows, set, key, limit, now);
    row = &set->row[way];
    if (row->kind == ROW_LOG)
        add_to_log(row, unit_now);
    else
        add_to_buckets(row, limit, unit_now, 1);
    set->idle_at[way] = (uint32_t)((now + limit->window) >> IDLE_SHIFT) + 1;
}

void se_window_clear(struct se_window_set *set, const struct se_window_key *key)
{
    unsigned way = find(set, key);

    if (way < WAYS)
        set->row[way].used = 0;
}

void se_window_pay_back(struct se_window_set *set, const struct se_window_key *key, uint32_t points)
{
    unsigned way = find(set, key);
    struct row *row;

    if (way == WAYS)
        return;
    row = &set->row[way];
    while (points && row->used) {
        struct bucket *newest = &row->bucket[row->used - 1];
        if (row->kind == ROW_BUCKETS && newest->count > points) {
            newest->count = (uint16_t)(newest->count - points);
            return;
        }
        points -= row->kind == ROW_BUCKETS ? newest->count : 1;
        row->used--;
    }
}

static struct se_address address_of(const struct row *row)
{
    return row->length >= SE_V4_OFFSET ? (struct se_address){0, row->source} : (struct se_address){row->source, 0};
}

static bool is_inside(const struct row *row, const struct se_network *network)
{
    return row->length >= network->length && se_network_holds(network, address_of(row));
}

void se_windows_forget(struct se_windows *windows, const struct se_network *network)
{
    for (uint32_t i = 0; i < SE_WINDOW_SETS; i++) {
        struct se_window_set *set = &windows->set[i];
        se_spin_lock(&set->lock);
        for (unsigned way = 0; way < WAYS; way++) {
            if (set->tag[way] && is_inside(&set->row[way], network))
                set->row[way].used = 0;
        }
        se_spin_unlock(&set->lock);
    }
}

static uint64_t age_in_ns(const struct row *row, uint32_t time, uint64_t now)
{
    return (uint64_t)age(time, (uint32_t)(now >> row->shift)) << row->shift;
}

static uint32_t list_row(const struct row *row, const struct se_limit *limit, uint64_t now, struct se_burst *out)
{
    for (unsigned i = 0; i < row->used; i++) {
        bool is_log = row->kind == ROW_LOG;
        out[i] = (struct se_burst){
            .source = {address_of(row), row->length},
            .first_age = age_in_ns(row, is_log ? row->time[i] : row->bucket[i].first, now),
            .last_age = age_in_ns(row, is_log ? row->time[i] : last_of(&row->bucket[i], limit), now),
            .count = is_log ? 1 : row->bucket[i].count,
            .event = row->event,
        };
    }
    return row->used;
}

uint32_t se_windows_list(struct se_windows *windows, uint32_t number, const struct se_policy *policy, uint64_t now,
                         struct se_burst out[SE_MAX_SET_BURSTS])
{
    struct se_window_set *set = &windows->set[number];
    uint32_t count = 0;

    se_spin_lock(&set->lock);
    for (unsigned way = 0; way < WAYS; way++) {
        struct row row = set->row[way];
        const struct se_limit *limit = NULL;
        if (set->tag[way])
            limit = se_find_limit(policy, address_of(&row), row.event);
        if (!limit)
            continue;
        refresh(&row, limit, is_idle(set, way, now), now);
        count += list_row(&row, limit, now, out + count);
    }
    se_spin_unlock(&set->lock);
    return count;
}

/* The age of the newest event of a row, in the row's units; UINT32_MAX: it has none. */
static uint32_t newest_age(const struct row *row, const struct se_limit *limit, uint32_t now)
{
    if (!row->used)
        return UINT32_MAX;
    return age(row->kind == ROW_LOG ? row->time[row->used - 1] : last_of(&row->bucket[row->used - 1], limit), now);
}

/* `first` and `last` are ages in the row's units, `count` is at least 1. */
static void add_burst(struct row *row, const struct se_limit *limit, uint32_t now, uint32_t first, uint32_t last, uint32_t count)
{
    uint16_t most = (uint16_t)(count < UINT16_MAX ? count : UINT16_MAX);

    for (unsigned i = 0; row->kind == ROW_LOG && i < most && i < LOG_EVENTS; i++)
        add_to_log(row, now - last);
    if (row->kind == ROW_LOG)
        return;
    if (most > 1) /* where the first and the last of them fit in one bucket, it gets both its ends back */
        add_to_buckets(row, limit, now - (first - last < quantum(limit) ? first : last), (uint16_t)(most - 1));
    add_to_buckets(row, limit, now - last, 1);
}

void se_window_restore(struct se_windows *windows, struct se_window_set *set, const struct se_window_key *key,
                       const struct se_limit *limit, const struct se_burst *burst, uint64_t now)
{
    uint64_t last = burst->last_age >> limit->unit_shift, first = burst->first_age >> limit->unit_shift;
    uint32_t unit_now = (uint32_t)(now >> limit->unit_shift), newest, idle_at;
    unsigned way = find(set, key);
    bool is_empty;

    if (last >= limit->window_units || !burst->count)
        return;
    first = first < last ? last : first < limit->window_units ? first : limit->window_units;
    if (way == WAYS)
        way = take_way(windows, set, key, limit, now);
    else
        refresh(&set->row[way], limit, is_idle(set, way, now), now);
    is_empty = set->row[way].used == 0;
    newest = newest_age(&set->row[way], limit, unit_now);
    last = newest < last ? newest : last;
    first = newest < first ? newest : first;
    add_burst(&set->row[way], limit, unit_now, (uint32_t)first, (uint32_t)last, burst->count);
    idle_at = (uint32_t)((now + limit->window - (last << limit->unit_shift)) >> IDLE_SHIFT) + 1;
    if (is_empty || (int32_t)(idle_at - set->idle_at[way]) > 0)
        set->idle_at[way] = idle_at;
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
    return SE_WINDOW_SETS * sizeof(struct se_window_set);
}
