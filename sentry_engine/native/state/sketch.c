/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "state/sketch.h"

#include "memory/block.h"
#include "nanoseconds.h"

#include <errno.h>
#include <stdatomic.h>

#define LINES 4u
#define CELLS (1u << 16) /* of a line; 4 MB in all. Saturated at 65 536 events a window / N */
#define SECOND UINT64_C(1000000000)

/* Both times are read together; sixteen bytes share a cache line. */
struct cell {
    _Atomic uint64_t empty_at;      /* ns */
    _Atomic uint64_t refused_until; /* ns */
};

struct se_sketch {
    struct cell line[LINES][CELLS];
    _Atomic uint64_t penalty_budget; /* the second, times 2^16, plus the penalties that began in it */
};

int se_sketch_open(struct se_sketch **out)
{
    *out = se_block_map(sizeof **out);
    return *out ? 0 : -ENOMEM;
}

void se_sketch_close(struct se_sketch *sketch)
{
    if (sketch)
        se_block_unmap(sketch, sizeof *sketch);
}

/* The four cells of a source. */
struct cells {
    struct cell *of[LINES];
};

static struct cells find_cells(struct se_sketch *sketch, uint64_t hash)
{
    struct cells cells;

    for (unsigned i = 0; i < LINES; i++)
        cells.of[i] = &sketch->line[i][(hash >> 16 * i) % CELLS];
    return cells;
}

static uint64_t lower(uint64_t low, _Atomic uint64_t *time)
{
    uint64_t known = atomic_load_explicit(time, memory_order_relaxed);

    return known < low ? known : low;
}

static void raise_to(_Atomic uint64_t *time, uint64_t level)
{
    uint64_t known = atomic_load_explicit(time, memory_order_relaxed);

    while (known < level && !atomic_compare_exchange_weak_explicit(time, &known, level, memory_order_relaxed, memory_order_relaxed))
        ;
}

/* Takes one of the penalties of this second. False: all are taken. */
static bool take_budget(struct se_sketch *sketch, uint64_t now)
{
    uint64_t second = now / SECOND, known = atomic_load_explicit(&sketch->penalty_budget, memory_order_relaxed), next;

    do {
        next = known >> 16 == second ? known + 1 : second << 16 | 1;
        if ((next & 0xffff) > SE_SKETCH_PENALTIES_PER_SECOND)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&sketch->penalty_budget, &known, next, memory_order_relaxed, memory_order_relaxed));
    return true;
}

/* Without a lock: of two threads with the same source at the limit both may pass, one event too many. */
uint64_t se_sketch_wait(struct se_sketch *sketch, uint64_t hash, const struct se_limit *limit, uint64_t now, bool count)
{
    struct cells cells = find_cells(sketch, hash);
    uint64_t step = limit->window / limit->max_events;
    uint64_t depth = step * (limit->max_events - 1);
    uint64_t until = UINT64_MAX, level = UINT64_MAX;

    for (unsigned i = 0; i < LINES; i++) {
        until = lower(until, &cells.of[i]->refused_until);
        level = lower(level, &cells.of[i]->empty_at);
    }
    if (now < until)
        return until == SE_FOREVER ? until : until - now;
    level = level > now ? level : now;
    if (level - now <= depth) {
        for (unsigned i = 0; count && i < LINES; i++)
            raise_to(&cells.of[i]->empty_at, level + step);
        return 0;
    }
    if (!limit->penalty)
        return level - now - depth;
    if (count && take_budget(sketch, now)) {
        until = se_add_ns(now, limit->penalty);
        for (unsigned i = 0; i < LINES; i++)
            raise_to(&cells.of[i]->refused_until, until);
    }
    return limit->penalty;
}

void se_sketch_clear(struct se_sketch *sketch, uint64_t hash)
{
    struct cells cells = find_cells(sketch, hash);

    for (unsigned i = 0; i < LINES; i++) {
        atomic_store_explicit(&cells.of[i]->empty_at, 0, memory_order_relaxed);
        atomic_store_explicit(&cells.of[i]->refused_until, 0, memory_order_relaxed);
    }
}

uint64_t se_sketch_bytes(void)
{
    return sizeof(struct se_sketch);
}
