/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sketch.h"

#include "siphash.h"

#include <errno.h>

#define LINES 4u
#define CELLS (1u << 16) /* of a line; 2 MB in all. Every cell stays in use up to 65 536 events a window / N */
#define SECOND UINT64_C(1000000000)

typedef _Atomic uint64_t line[CELLS];

struct se_sketch {
    line empty_at[LINES];        /* ns */
    line refused_until[LINES];   /* ns */
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

static uint32_t cell_of(uint64_t hash, unsigned i)
{
    return (uint32_t)(hash >> 16 * i) % CELLS;
}

static uint64_t lowest(line *lines, uint64_t hash)
{
    uint64_t low = UINT64_MAX;

    for (unsigned i = 0; i < LINES; i++) {
        uint64_t level = atomic_load_explicit(&lines[i][cell_of(hash, i)], memory_order_relaxed);
        low = level < low ? level : low;
    }
    return low;
}

static void raise_cell(_Atomic uint64_t *cell, uint64_t level)
{
    uint64_t known = atomic_load_explicit(cell, memory_order_relaxed);

    while (known < level && !atomic_compare_exchange_weak_explicit(cell, &known, level, memory_order_relaxed, memory_order_relaxed))
        ;
}

static void raise_all(line *lines, uint64_t hash, uint64_t level)
{
    for (unsigned i = 0; i < LINES; i++)
        raise_cell(&lines[i][cell_of(hash, i)], level);
}

/* Whether one more penalty may begin in this second; takes it. */
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

/* Two threads that ask about one source at the same instant may both find it at the limit: one event too many passes. */
uint64_t se_sketch_ask(struct se_sketch *sketch, uint64_t hash, const struct se_limit *limit, uint64_t now, bool count)
{
    uint64_t step = limit->window / limit->max_events;
    uint64_t depth = step * (limit->max_events - 1);
    uint64_t until = lowest(sketch->refused_until, hash), level = lowest(sketch->empty_at, hash);

    if (now < until)
        return until == SE_FOREVER ? until : until - now;
    level = level > now ? level : now;
    if (level - now <= depth) {
        if (count)
            raise_all(sketch->empty_at, hash, level + step);
        return 0;
    }
    if (!limit->penalty)
        return level - now - depth;
    if (count && take_budget(sketch, now))
        raise_all(sketch->refused_until, hash, limit->penalty < SE_FOREVER - now ? now + limit->penalty : SE_FOREVER);
    return limit->penalty;
}

void se_sketch_forget(struct se_sketch *sketch, uint64_t hash)
{
    for (unsigned i = 0; i < LINES; i++) {
        atomic_store_explicit(&sketch->empty_at[i][cell_of(hash, i)], 0, memory_order_relaxed);
        atomic_store_explicit(&sketch->refused_until[i][cell_of(hash, i)], 0, memory_order_relaxed);
    }
}

uint64_t se_sketch_bytes(void)
{
    return sizeof(struct se_sketch);
}
