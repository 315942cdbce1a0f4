/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * One row of the sliding windows: the events of a (source, event) in the units of its limit (limit_units.h). Inline, because
 * every decision with a limit runs through it.
 *
 * A limit of up to SE_LOG_EVENTS events keeps their times. A larger one keeps SE_BUCKETS buckets of (first time, span, count),
 * each taking events for a fifth of the window. A bucket is held until its last event leaves the window.
 */
#ifndef SENTRY_ENGINE_WINDOW_ROW_H
#define SENTRY_ENGINE_WINDOW_ROW_H

#include "ip_address.h"
#include "plan.h"
#include "state/sliding_window.h"

#define SE_LOG_EVENTS 12u            /* four bytes each: 48 */
#define SE_BUCKETS 6u                /* eight bytes each: 48 */
#define SE_QUANTA 5u                 /* of a window; live events lie in at most one bucket more */
#define SE_SPAN_STEPS 65535u         /* the unit of a bucket's span is its quantum / SE_SPAN_STEPS, rounded up */
#define SE_IN_THE_FUTURE 0xf0000000u /* an age above this is a time after `now` */

enum se_window_kind { SE_WINDOW_LOG = 0, SE_WINDOW_BUCKETS = 1 };

struct se_window_bucket {
    uint32_t first;
    uint16_t span, count;
};

struct se_window_row {
    uint64_t source;
    uint16_t event;
    uint8_t length;
    uint8_t kind;         /* enum se_window_kind */
    uint8_t shift;        /* the unit of its times */
    uint8_t used;         /* times or buckets, oldest first */
    uint16_t reserved;
    union {
        uint32_t time[SE_LOG_EVENTS];
        struct se_window_bucket bucket[SE_BUCKETS];
    };
};

_Static_assert(sizeof(struct se_window_row) == 64, "a row is one cache line");

/* The age of `time` in units. A time after `now` was read by another thread: its age is 0. */
static inline uint32_t se_unit_age(uint32_t time, uint32_t now)
{
    uint32_t units = now - time;

    return units > SE_IN_THE_FUTURE ? 0 : units;
}

static inline uint32_t se_bucket_quantum(const struct se_limit *limit)
{
    return (limit->window_units + SE_QUANTA - 1) / SE_QUANTA;
}

static inline uint32_t se_span_step(const struct se_limit *limit)
{
    return se_bucket_quantum(limit) / SE_SPAN_STEPS + 1;
}

/* The time of a bucket's last event. */
static inline uint32_t se_bucket_last(const struct se_window_bucket *bucket, const struct se_limit *limit)
{
    return bucket->first + bucket->span * se_span_step(limit);
}

/* Drops the oldest `count` times or buckets. */
static inline void se_row_drop_oldest(struct se_window_row *row, unsigned count)
{
    row->used = (uint8_t)(row->used - count);
    if (row->kind == SE_WINDOW_LOG)
        memmove(row->time, row->time + count, row->used * sizeof row->time[0]);
    else
        memmove(row->bucket, row->bucket + count, row->used * sizeof row->bucket[0]);
}

/* Drops the times and buckets that have left the window. */
static inline void se_row_prune(struct se_window_row *row, const struct se_limit *limit, uint32_t now)
{
    unsigned gone = 0;

    while (gone < row->used) {
        uint32_t last = row->kind == SE_WINDOW_LOG ? row->time[gone] : se_bucket_last(&row->bucket[gone], limit);
        if (se_unit_age(last, now) < limit->window_units)
            break;
        gone++;
    }
    if (gone)
        se_row_drop_oldest(row, gone);
}

/* Frees a bucket: the oldest is merged into the second oldest, and lasts as long as that. */
static inline void se_row_join_oldest(struct se_window_row *row)
{
    uint32_t joined = (uint32_t)row->bucket[0].count + row->bucket[1].count;

    row->bucket[1].count = (uint16_t)(joined < UINT16_MAX ? joined : UINT16_MAX);
    se_row_drop_oldest(row, 1);
}

static inline void se_row_add_to_buckets(struct se_window_row *row, const struct se_limit *limit, uint32_t now, uint16_t count)
{
    struct se_window_bucket *newest = row->used ? &row->bucket[row->used - 1] : NULL;

    if (newest && se_unit_age(newest->first, now) < se_bucket_quantum(limit)) {
        uint32_t step = se_span_step(limit), span = (se_unit_age(newest->first, now) + step - 1) / step;
        newest->span = (uint16_t)(span > newest->span ? span : newest->span);
        newest->count = (uint16_t)(newest->count + count < UINT16_MAX ? newest->count + count : UINT16_MAX);
        return;
    }
    if (row->used == SE_BUCKETS)
        se_row_join_oldest(row);
    row->bucket[row->used++] = (struct se_window_bucket){.first = now, .count = count};
}

static inline void se_row_add_to_log(struct se_window_row *row, uint32_t now)
{
    if (row->used == SE_LOG_EVENTS)
        se_row_drop_oldest(row, 1);
    row->time[row->used++] = now;
}

static inline enum se_window_kind se_row_kind_for(const struct se_limit *limit)
{
    return limit->max_events <= SE_LOG_EVENTS ? SE_WINDOW_LOG : SE_WINDOW_BUCKETS;
}

/*
 * Converts a row to the units and the kind of another limit, after a change of policy. A bucket becomes that many events at
 * the time of its first one, in a log at most SE_LOG_EVENTS.
 */
static inline void se_row_convert(struct se_window_row *row, const struct se_limit *limit, uint64_t now)
{
    const struct se_window_row old = *row;
    uint32_t unit_now = (uint32_t)(now >> limit->unit_shift);

    row->kind = (uint8_t)se_row_kind_for(limit);
    row->shift = (uint8_t)limit->unit_shift;
    row->used = 0;
    for (unsigned i = 0; i < old.used; i++) {
        uint32_t time = old.kind == SE_WINDOW_LOG ? old.time[i] : old.bucket[i].first;
        uint16_t count = old.kind == SE_WINDOW_LOG ? 1 : old.bucket[i].count;
        uint64_t gone = (uint64_t)se_unit_age(time, (uint32_t)(now >> old.shift)) << old.shift >> limit->unit_shift;
        if (gone >= limit->window_units)
            continue;
        if (row->kind == SE_WINDOW_BUCKETS)
            se_row_add_to_buckets(row, limit, unit_now - (uint32_t)gone, count);
        for (unsigned j = 0; row->kind == SE_WINDOW_LOG && j < count && j < SE_LOG_EVENTS; j++)
            se_row_add_to_log(row, unit_now - (uint32_t)gone);
    }
}

/* Brings a row up to `now`: drops old events, converts it if the limit has changed. */
static inline void se_row_refresh(struct se_window_row *row, const struct se_limit *limit, bool idle, uint64_t now)
{
    if (idle)
        row->used = 0;
    if (row->shift != limit->unit_shift || row->kind != se_row_kind_for(limit))
        se_row_convert(row, limit, now);
    se_row_prune(row, limit, (uint32_t)(now >> limit->unit_shift));
}

/* Finds the time of the event that must leave the window before one more passes. False: one more passes now. */
static inline bool se_row_find_blocking(const struct se_window_row *row, const struct se_limit *limit, uint32_t *time)
{
    uint32_t total = 0;
    unsigned i;

    if (row->kind == SE_WINDOW_LOG) {
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
        *time = se_bucket_last(&row->bucket[i], limit);
    }
    return true;
}

static inline struct se_address se_row_address(const struct se_window_row *row)
{
    return row->length >= SE_V4_OFFSET ? (struct se_address){0, row->source} : (struct se_address){row->source, 0};
}

static inline uint64_t se_row_age_ns(const struct se_window_row *row, uint32_t time, uint64_t now)
{
    return (uint64_t)se_unit_age(time, (uint32_t)(now >> row->shift)) << row->shift;
}

static inline uint32_t se_row_list(const struct se_window_row *row, const struct se_limit *limit, uint64_t now, struct se_burst *out)
{
    for (unsigned i = 0; i < row->used; i++) {
        bool is_log = row->kind == SE_WINDOW_LOG;
        out[i] = (struct se_burst){
            .source = {se_row_address(row), row->length},
            .first_age = se_row_age_ns(row, is_log ? row->time[i] : row->bucket[i].first, now),
            .last_age = se_row_age_ns(row, is_log ? row->time[i] : se_bucket_last(&row->bucket[i], limit), now),
            .count = is_log ? 1 : row->bucket[i].count,
            .event = row->event,
        };
    }
    return row->used;
}

/* The age of a row's newest event in units. UINT32_MAX: it has none. */
static inline uint32_t se_row_newest_age(const struct se_window_row *row, const struct se_limit *limit, uint32_t now)
{
    if (!row->used)
        return UINT32_MAX;
    return se_unit_age(row->kind == SE_WINDOW_LOG ? row->time[row->used - 1] : se_bucket_last(&row->bucket[row->used - 1], limit), now);
}

/* Adds `count` (at least 1) events. `first` and `last` are ages in units. */
static inline void se_row_add_burst(struct se_window_row *row, const struct se_limit *limit, uint32_t now, uint32_t first, uint32_t last, uint32_t count)
{
    uint16_t most = (uint16_t)(count < UINT16_MAX ? count : UINT16_MAX);

    for (unsigned i = 0; row->kind == SE_WINDOW_LOG && i < most && i < SE_LOG_EVENTS; i++)
        se_row_add_to_log(row, now - last);
    if (row->kind == SE_WINDOW_LOG)
        return;
    if (most > 1) /* the first and the last event share a bucket if they fit in one */
        se_row_add_to_buckets(row, limit, now - (first - last < se_bucket_quantum(limit) ? first : last), (uint16_t)(most - 1));
    se_row_add_to_buckets(row, limit, now - last, 1);
}

#endif
