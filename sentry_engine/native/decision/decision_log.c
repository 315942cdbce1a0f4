/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "decision/decision_log.h"

#include "memory/block.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/eventfd.h>

/* `turn` is p when the writer of place p may fill the record, and p + 1 when the reader may take it. */
struct record {
    _Atomic uint64_t turn;
    struct se_decision decision;
};

_Static_assert(sizeof(struct record) == 64, "a record is one cache line");

struct se_log {
    _Alignas(64) _Atomic uint64_t next_write;
    _Alignas(64) _Atomic uint64_t next_read;
    _Alignas(64) _Atomic uint64_t dropped;
    _Atomic uint32_t every;
    _Atomic bool armed;
    _Atomic int bell;
    _Alignas(64) struct record record[SE_LOG_RECORDS];
};

int se_log_open(struct se_log **out)
{
    struct se_log *log = se_block_map(sizeof *log);

    if (!log)
        return -ENOMEM;
    for (uint32_t i = 0; i < SE_LOG_RECORDS; i++)
        atomic_init(&log->record[i].turn, i);
    atomic_init(&log->bell, -1);
    *out = log;
    return 0;
}

void se_log_close(struct se_log *log)
{
    if (log)
        se_block_unmap(log, sizeof *log);
}

void se_log_set_sampling(struct se_log *log, uint32_t every)
{
    atomic_store_explicit(&log->every, every, memory_order_relaxed);
}

void se_log_set_bell(struct se_log *log, int bell)
{
    atomic_store_explicit(&log->bell, bell, memory_order_relaxed);
}

void se_log_arm(struct se_log *log)
{
    atomic_store(&log->armed, true);
}

static void ring(struct se_log *log)
{
    int bell = atomic_load_explicit(&log->bell, memory_order_relaxed);

    if (bell >= 0 && atomic_exchange(&log->armed, false))
        eventfd_write(bell, 1);
}

bool se_log_is_sampling(const struct se_log *log)
{
    return atomic_load_explicit(&log->every, memory_order_relaxed) != 0;
}

bool se_log_samples(const struct se_log *log, uint64_t number)
{
    uint64_t every = atomic_load_explicit(&log->every, memory_order_relaxed), waiting;

    if (!every || number % every)
        return false;
    waiting = atomic_load_explicit(&log->next_write, memory_order_relaxed) - atomic_load_explicit(&log->next_read, memory_order_relaxed);
    return waiting < SE_LOG_RECORDS / 2 || number / every % SE_LOG_THINNING == 0;
}

void se_log_add(struct se_log *log, const struct se_decision *decision)
{
    uint64_t place = atomic_load_explicit(&log->next_write, memory_order_relaxed);

    for (;;) {
        struct record *record = &log->record[place % SE_LOG_RECORDS];
        uint64_t turn = atomic_load_explicit(&record->turn, memory_order_acquire);
        if (turn == place) {
            if (!atomic_compare_exchange_weak_explicit(&log->next_write, &place, place + 1, memory_order_relaxed, memory_order_relaxed))
                continue;
            record->decision = *decision;
            atomic_store_explicit(&record->turn, place + 1, memory_order_release);
            if (atomic_load_explicit(&log->armed, memory_order_relaxed))
                ring(log);
            return;
        }
        if (turn < place) { /* not read yet: full */
            atomic_fetch_add_explicit(&log->dropped, 1, memory_order_relaxed);
            return;
        }
        place = atomic_load_explicit(&log->next_write, memory_order_relaxed);
    }
}

uint32_t se_log_drain(struct se_log *log, struct se_decision *out, uint32_t room)
{
    uint64_t place = atomic_load_explicit(&log->next_read, memory_order_relaxed);
    uint32_t count = 0;

    for (; count < room; count++, place++) {
        struct record *record = &log->record[place % SE_LOG_RECORDS];
        if (atomic_load_explicit(&record->turn, memory_order_acquire) != place + 1)
            break;
        out[count] = record->decision;
        atomic_store_explicit(&record->turn, place + SE_LOG_RECORDS, memory_order_release);
    }
    atomic_store_explicit(&log->next_read, place, memory_order_relaxed);
    return count;
}

uint64_t se_log_dropped(const struct se_log *log)
{
    return atomic_load_explicit(&log->dropped, memory_order_relaxed);
}
